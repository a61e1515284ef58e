"""Locks that only root can take: each is one byte of a file in a folder of mode 0700, so that no files pile up.

Whoever may open a file may lock it (flock(2)), so a lock on a public file or on a namespace could be taken and kept by
anybody. Waiting always ends, with an error that names the process that has the lock. A lock belongs to the open file
(fcntl(2), "Open file description locks") and ends with it, also when the process is killed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time

from system import folders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = "/run/tulle/locks"
FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, pid
PATIENCE = 50.0
"""Seconds; less than the agent gives a worker."""

LOOKS = (0.001, 0.005)
"""Seconds between two attempts, the first few and the later ones: a lock wakes only who wants to wait for ever."""

PROMPT = 50
"""How many attempts are the first few."""

PLACES = 2**62 - 57
"""A prime, so that every byte of the names counts; an offset has room for it and for its length."""

HELD = (errno.EAGAIN, errno.EACCES)


class Lock:
    """Holds one byte of `file` in FOLDER for the time of a `with` block.

    Entering raises TimeoutError, with who holds it, after `patience` seconds, and OSError when there can be no such
    file, or another user may have it open.
    """

    __slots__ = ("_fd", "_offset", "_path", "_patience")

    def __init__(self, file: str, offset: int = 0, *, patience: float = PATIENCE, folder: str = FOLDER) -> None:
        self._path = f"{folder}/{file}"
        self._offset = offset
        self._patience = patience
        self._fd = -1

    def __enter__(self) -> None:
        self._fd = opened(self._path)
        wanted = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, self._offset, 1, 0)
        try:
            wait(lambda: fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, wanted), self._patience, self._held)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _held(self) -> str:
        return f"{self._path}: held by {lock_owner(self._path, self._offset)}"


def is_held(file: str, offset: int, *, folder: str = FOLDER) -> bool:
    """Return whether somebody holds a byte of `file`, without taking it from who may want it now.

    OSError when there is no such file.
    """
    descriptor = os.open(f"{folder}/{file}", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        asked = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
        return bool(FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))[0] != fcntl.F_UNLCK)
    finally:
        os.close(descriptor)


def lock_file(descriptor: int, path: str, *, patience: float = PATIENCE) -> None:
    """Take the lock of an open file that other programs agree on, by flock(2).

    TimeoutError, with who holds it, after `patience` seconds.
    """
    wait(
        lambda: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB),
        patience,
        lambda: f"{path}: held by {lock_owner(path)}",
    )


def wait(attempt: Callable[[], object], patience: float, held: Callable[[], str]) -> None:
    """Attempt until it is granted; a file system that knows no such locks grants everything."""
    deadline = time.monotonic() + patience
    attempts = 0
    while True:
        try:
            attempt()
        except OSError as refused:
            if refused.errno not in HELD:
                return
        else:
            return
        if time.monotonic() >= deadline:
            raise TimeoutError(errno.ETIMEDOUT, f"{held()}, for more than {patience:g} s")
        attempts += 1
        time.sleep(LOOKS[attempts > PROMPT])  # noqa: TID251 - see LOOKS


def place(*names: str) -> int:
    """Return the byte that stands for `names`: what they leave as one long number, which needs no import and 1 us."""
    return int.from_bytes(b"\1" + os.fsencode("\0".join(names)), "big") % PLACES


def opened(path: str) -> int:
    """Return a descriptor of a file that is ours alone, made with its folder if it has to be.

    OSError when that cannot be.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileNotFoundError:
        folders.make(os.path.dirname(path), 0o700)  # noqa: PTH120 - pathlib costs milliseconds
        descriptor = os.open(path, flags, 0o600)
    about = os.fstat(descriptor)
    if about.st_uid == os.geteuid() and not about.st_mode & 0o077:
        return descriptor
    os.close(descriptor)
    raise PermissionError(errno.EPERM, "another user may hold this lock: remove the file", path)


def lock_owner(path: str, offset: int | None = None) -> str:
    """Return who has a lock on the file at `path`, on the byte at `offset` if that is given: `process 1234 (bridge)`."""
    pid = owner_pid(path, offset)
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return f"process {pid} ({file.read().strip()})"
    except OSError:
        return "a process that cannot be seen from here"


def owner_pid(path: str, offset: int | None = None) -> str:
    """Return the number of the process that has a lock, empty when none is seen.

    The kernel's own table names no holder of such locks.
    """
    path = os.path.realpath(path)
    for pid in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - names only
        try:
            if any(_locks(pid, number, path, offset) for number in os.listdir(f"/proc/{pid}/fd")):  # noqa: PTH208
                return pid
        except OSError:
            continue
    return ""


def _locks(pid: str, number: str, path: str, offset: int | None) -> bool:
    """Return whether an open file is that at `path` and has the lock.

    As in `lock: 1: OFDLCK ADVISORY WRITE -1 00:1a:5 7 7` (proc_pid_fdinfo(5)). A look at the file itself might never
    end.
    """
    try:
        if os.readlink(f"/proc/{pid}/fd/{number}") != path:  # noqa: PTH115 - as above
            return False
        with open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii") as file:  # noqa: PTH123
            found = [line.split() for line in file if line.startswith("lock:")]
    except OSError:
        return False
    return any(offset is None or words[7:] == [str(offset)] * 2 for words in found)
