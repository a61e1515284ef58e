"""Serves the requests for one attachment one after the other, whichever process they came to.

One lock file, and in it one byte for each attachment of each program, so that no files pile up; the lock belongs to the open
file (fcntl(2), "Open file description locks") and ends with it, also when the process is killed. Must not know the verbs. Blind
spot: whoever may not write below /run goes on without a lock, as the reference always does.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time

from cni.errors import CniError, Code

PATH = "/run/tulle/attachments.lock"
FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, pid
PATIENCE = 50.0
"""Seconds; less than the agent gives a worker."""
LOOK = 0.005
"""Seconds between two attempts: a lock wakes only who wants to wait for ever."""

PLACES = 2**62 - 57
"""A prime, so that every byte of the names counts; an offset has room for it and for its length."""


class Turn:
    """Holds the lock of one attachment for the time of a `with` block; `names` tell attachments apart.

    Entering raises CniError 11 when another request for the attachment does not end within `patience` seconds.
    """

    __slots__ = ("_fd", "_offset", "_path", "_patience")

    def __init__(self, *names: str, path: str = PATH, patience: float = PATIENCE) -> None:
        self._offset = place(*names)
        self._path = path
        self._patience = patience
        self._fd = -1

    def __enter__(self) -> None:
        try:
            self._fd = _opened(self._path)
        except OSError:
            return
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _wait(self) -> None:
        wanted = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, self._offset, 1, 0)
        deadline = time.monotonic() + self._patience
        while not _taken(self._fd, wanted):
            if time.monotonic() >= deadline:
                raise CniError(
                    Code.TRY_AGAIN_LATER,
                    "another request for this container and interface is still running",
                    f"it has not ended within {self._patience:.0f} s: look for its process, or try again",
                )
            time.sleep(LOOK)  # noqa: TID251 - see LOOK


def place(*names: str) -> int:
    """Return the byte that stands for `names`: what they leave as one long number, which needs no import and 1 us."""
    return int.from_bytes(b"\1" + os.fsencode("\0".join(names)), "big") % PLACES


def _opened(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - pathlib costs milliseconds
        return os.open(path, flags, 0o600)


def _taken(descriptor: int, wanted: bytes) -> bool:
    """Try once; a file system that knows no such locks grants everything."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
    except OSError as refused:
        return refused.errno not in (errno.EAGAIN, errno.EACCES)
    return True
