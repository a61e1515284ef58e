"""Runs the few system programs this package cannot replace: nft and iptables.

Found in fixed places whatever PATH says (a CNI program may be started with an empty environment), started with a
minimal environment inside the namespace meant. Must not know their languages.
"""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass

from kernel.errors import KernelError
from kernel.namespaces import Namespace, inside

PLACES = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin")
ENVIRONMENT = {"LC_ALL": "C", "PATH": ":".join(PLACES)}

SPOKEN = (
    *(errno.ENOENT, errno.EEXIST, errno.EPERM, errno.EACCES, errno.EBUSY),
    *(errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EINVAL),
)
"""Errors recognised by their text: these programs report only 1 or 2 as exit code."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended: its exit code and what it printed."""

    code: int
    stdout: str
    stderr: str


def find(name: str, places: Sequence[str] = PLACES) -> str | None:
    """Return the absolute path of a system program; None when it is not installed."""
    for place in places:
        path = f"{place}/{name}"
        if os.path.isfile(path) and os.access(path, os.X_OK):  # noqa: PTH113 - pathlib costs a cold start 5 ms
            return path
    return None


def run(arguments: Sequence[str], stdin: str = "", namespace: Namespace | None = None) -> Outcome:
    """Run a program to its end, a bare name looked up in PLACES; KernelError ENOPKG when it is not installed."""
    import subprocess  # noqa: PLC0415 - only when a program is really started

    what = f"running {arguments[0]}"
    path = arguments[0] if arguments[0].startswith("/") else find(arguments[0])
    if path is None:
        raise KernelError(errno.ENOPKG, what)
    pipe = subprocess.PIPE
    try:
        with inside(namespace):
            child = subprocess.Popen(
                [path, *arguments[1:]], stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT, cwd="/"
            )
    except KernelError:
        raise
    except OSError as error:
        raise KernelError(error.errno or errno.EIO, what) from error
    with child:
        stdout, stderr = child.communicate(stdin.encode())
    return Outcome(child.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


def refusal(outcome: Outcome, what: str) -> KernelError:
    """Make an error of what a program printed: its first line, and the errno that line ends with."""
    lines = [line.strip() for line in outcome.stderr.splitlines() if line.strip()]
    first = lines[0] if lines else f"exit code {outcome.code}"
    number = next((number for number in SPOKEN if os.strerror(number) in outcome.stderr), errno.EIO)
    return KernelError(number, what, first)
