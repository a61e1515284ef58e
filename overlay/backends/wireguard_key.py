"""The WireGuard key of this host, made once and kept across reboots: peers know us by it.

The private key appears in no log line and in no error.
"""

import contextlib
import os
import tempfile
from pathlib import Path

from kernel import wireguard
from kernel.errors import KernelError
from overlay.errors import Refused, Unavailable
from system import folders


def private_key(path: str) -> str:
    """Read the key, or make it (mode 0400); raises Refused for a file that holds none, Unavailable when it cannot be kept."""
    place = Path(path)
    try:
        if not place.exists():
            _write(place, wireguard.generate_key())
        key = place.read_text(encoding="ascii").strip()
    except UnicodeDecodeError:
        key = ""
    except OSError as problem:
        if isinstance(problem, KernelError):
            raise
        raise Unavailable(f"the key file {path} cannot be read or made: {problem.strerror}") from problem
    public_key(key, path)
    return key


def public_key(key: str, path: str) -> str:
    """Derive the public key; raises Refused when `key`, read from `path`, is none."""
    try:
        return wireguard.public_key(key)
    except KernelError as problem:
        if problem.hint:
            raise
        remedy = "put back the file that was there, or remove it: peers then learn a new key"
        raise Refused("holds no WireGuard key", where=path, remedy=remedy) from None


def _write(place: Path, key: str) -> None:
    """Put the key in place whole; of two daemons that start at once the first one's stays."""
    folders.make(str(place.parent))
    descriptor, fresh = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(key)
            file.flush()
            os.fchmod(file.fileno(), 0o400)
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, place)
    finally:
        os.unlink(fresh)  # noqa: PTH108 - beside os.link
