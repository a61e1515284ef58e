"""Which networks exist on this host: one file per network, for other daemons and for `tulle repair`.

The files are below `/run/tulle/networks/`, in one directory per network namespace (several may share /run), which only
root can open. A file names the network's lease file and ranges. It stays when the daemon ends, as tunnels and
containers do, and counts until lease file and record are gone (after `tulle leave`) or the host boots again.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from kernel import netns
from overlay.errors import Unavailable
from overlay.subnet.env_file import is_kept
from system import atomic_file, folders
from system.ip import IPNetwork
from system.locks import Lock

PLACE = "/run/tulle/networks"
COMPLAINT = "contested"
PATIENCE = 5.0
"""Seconds to wait while another process has the lock; it usually takes some milliseconds."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One network of this host."""

    name: str
    """The name of the network where a daemon has several; else empty."""
    lease_file: str
    """The path of its lease file."""
    networks: tuple[IPNetwork, ...]
    """Its ranges, one per family."""

    def __str__(self) -> str:
        """Return its name and ranges, for messages."""
        return f"{self.name or self.lease_file} ({', '.join(map(str, self.networks))})"


class KnownNetworks:
    """The networks of the network namespace we are in; `boot` is this boot's id."""

    def __init__(self, boot: str, place: str = PLACE) -> None:
        self._boot = boot
        self._folder = Path(place) / str(netns.cookie())

    @property
    def fresh(self) -> bool:
        """Return whether no daemon has ever recorded a network here."""
        return not self._folder.exists()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Lock the files for the block, so that what is done because of them is done in the same order.

        Raises OSError, or Unavailable when another process does not release the lock.
        """
        folders.make(str(self._folder), 0o700)
        with ExitStack() as held:
            try:
                held.enter_context(Lock("lock", patience=PATIENCE, folder=str(self._folder)))
            except TimeoutError as late:
                raise Unavailable(f"{late.strerror}; end it") from None
            yield

    def read(self) -> tuple[Kept, ...]:
        """Return the networks that exist, by file; a file that no daemon wrote is left out."""
        entries = [_decoded(path, self._boot) for path in sorted(self._folder.glob("*.json"))]
        return tuple(one for one in entries if one is not None and _counts(one))

    def enter(self, kept: Kept) -> None:
        """Record a network, in place of an earlier one with the same lease file. Raises OSError."""
        path = self._path(kept.lease_file)
        if _decoded(path, self._boot) == kept:
            return
        members = {"boot": self._boot, "name": kept.name, "leaseFile": kept.lease_file}
        text = json.dumps({**members, "networks": list(map(str, kept.networks))}) + "\n"
        atomic_file.replace(str(path), text.encode(), 0o600, pending=f"{path}.new")

    def leave(self, lease_file: str) -> None:
        """Remove a network; one that is not recorded is no error. Raises OSError."""
        self._path(lease_file).unlink(missing_ok=True)

    @property
    def complaint(self) -> str:
        """Return what a running daemon recorded of rules that another program changes in a loop; "" for nothing."""
        try:
            pid, _, text = (self._folder / COMPLAINT).read_text(encoding="utf-8").partition(" ")
            return text if Path("/proc", str(int(pid))).exists() else ""
        except (OSError, ValueError):
            return ""

    def complain(self, text: str) -> None:
        """Leave a complaint of this process, or take it back with "". Raises OSError."""
        path = self._folder / COMPLAINT
        if text:
            atomic_file.replace(str(path), f"{os.getpid()} {text}".encode(), 0o600, pending=f"{path}.new")
        else:
            path.unlink(missing_ok=True)

    def _path(self, lease_file: str) -> Path:
        return self._folder / f"{hashlib.sha256(lease_file.encode()).hexdigest()[:32]}.json"


def _decoded(path: Path, boot: str) -> Kept | None:
    try:
        members = json.loads(path.read_text(encoding="utf-8"))
        if members["boot"] != boot:
            return None
        return Kept(str(members["name"]), str(members["leaseFile"]), tuple(map(ip_network, members["networks"])))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _counts(kept: Kept) -> bool:
    made = (kept.lease_file, f"{kept.lease_file}.made")
    return any(Path(one).exists() for one in made) or is_kept(kept.lease_file)
