"""Stores reservations on disk in the reference's form, so that its Go program and this one can share a directory.

One file per address, named after it. A command holds the file `lock` with flock(2) from beginning to end
(docs/reference/cni.md 3.4).

A reservation appears complete or not at all: the file is written without a name and then linked into the directory, so
that neither a kill nor a full disk leaves an empty file. Nothing is synced: a power failure ends the containers as
well, and the files of length zero or of null bytes that it leaves are vacant.

On a read-only file system only writing is refused. Looking, and finding nothing to release, works.
"""
# pathlib costs milliseconds that every container's start would pay:
# ruff: noqa: PTH119

from __future__ import annotations

import contextlib
import errno
import os
import stat

from cni import addresses
from cni.attachment_id import shortened
from cni.errors import CniError, Code
from ipam import boot, index, overwrite
from ipam.claims import Reservation
from system import folders, locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ipam.claims import Claim
    from system.ip import IPAddress

LOCK = "lock"
CURSOR = "last_reserved_ip."
LARGEST = 256 * 1024
"""Bytes. More than a reservation can have: a container id fits into one environment string (execve(2), 128 KiB)."""
NAME_BYTES = 255
"""Longest name of a file, in bytes (NAME_MAX)."""
DEPTH = 8
"""How many levels of subdirectories are searched. The reference has no limit."""
UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT})
"""The errors of a file system without nameless files (open(2), O_TMPFILE), or without /proc."""

REMEDIES = {
    errno.EROFS: "the file system of {path} is mounted read-only: mount it read-write; one with errors is remounted so, dmesg tells",
    errno.ENOSPC: "the file system of {path} is full: free space or inodes there (df, df -i)",
    errno.EDQUOT: "the quota of root on the file system of {path} is used up: free space there or raise it",
    errno.ENAMETOOLONG: "a file name has at most 255 bytes: shorten the name of the network",
}
"""The remedy for each error of the disk. For others it is WRITABLE."""
WRITABLE = "{path} must be writable for root"

QUIET = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""No symbolic link of the directory is followed, and no FIFO can make a container's start wait."""


class Directory:
    """A directory of reservations whose lock is held; an ipam.store.Store.

    Reservations of an earlier boot of this machine are vacant; with `reclaim` those of any machine, unless it is False.
    An index beside the directory saves reading all files.
    """

    __slots__ = ("_descriptor", "_index", "_log", "_reclaim", "_sealed", "location")

    def __init__(self, location: str, descriptor: int, log: Callable[[str], object], *, reclaim: bool | None) -> None:
        self.location = location
        self._descriptor = descriptor
        self._log = log
        self._reclaim = reclaim
        self._index: index.Index | None = None
        self._sealed = 0

    def reservations(self) -> tuple[Reservation, ...]:
        """Return every file except the lock and the cursors, at any depth, as the reference does."""
        found = tuple(_scan(self._descriptor, "", DEPTH, reclaim=self._reclaim))
        self._index, self._sealed = index.of(found), 0
        return found

    def claimed(self, claim: Claim) -> tuple[Reservation, ...]:
        """Return at least the reservations of `claim`: from the index if it is valid, else everything."""
        if self._index is None:
            self._index = index.load(_beside(self.location, "index"), self._descriptor)
            self._sealed = self._changed
        if self._index is None:
            return self.reservations()
        texts = (claim.text,) if claim.network else (claim.text, claim.container_id)
        found = [(text, self._read(name)) for text in texts for name in self._index.names(text)]
        if any(each.text != text for text, each in found):
            return self.reservations()
        return tuple(each for _, each in found)

    def reserve(self, address: IPAddress, claim: Claim) -> Reservation | None:
        """Reserve `address`. A vacant file of that name is replaced: while the lock is held nobody else can take it."""
        name = str(address)
        if not (self._clear(name) and self._publish(name, claim.text.encode())):
            return None
        if self._index is not None:
            self._index.add(name, claim.text)
        return Reservation(name, address, claim.text)

    def release(self, reservation: Reservation) -> None:
        """Delete the reservation's file."""
        _forget(reservation.path, self._descriptor)
        if self._index is not None:
            self._index.remove(reservation.path)

    def settle(self) -> None:
        """Write the index for the next command, if it has changed."""
        if self._index is not None and self._sealed != self._changed:
            index.save(self._index, _beside(self.location, "index"), self._descriptor)

    def last(self, index: int) -> IPAddress | None:
        """Return the cursor of set `index`; None if it is absent or no address, as at the first use."""
        try:
            text = _content(CURSOR + str(index), self._descriptor)
            return addresses.parse_address(text.decode().strip())
        except (FileNotFoundError, ValueError):
            return None
        except OSError as error:
            self._log(f"ignoring {self.location}/{CURSOR}{index}: {error.strerror}")
            return None

    def remember(self, index: int, address: IPAddress) -> None:
        """Overwrite the cursor of set `index`."""
        try:
            overwrite.overwrite(CURSOR + str(index), str(address).encode(), self._descriptor)
        except OSError as error:
            self._log(f"cannot write {self.location}/{CURSOR}{index}: {error.strerror}")

    @property
    def _changed(self) -> int:
        """Return when a file of the directory was last added or removed, in nanoseconds."""
        return os.fstat(self._descriptor).st_mtime_ns

    @property
    def writable(self) -> bool:
        """Return whether reservations can be made here."""
        return os.access(".", os.W_OK | os.X_OK, dir_fd=self._descriptor)

    def _read(self, name: str) -> Reservation:
        return _reservation(name, self._descriptor, "", reclaim=self._reclaim)

    def _publish(self, name: str, content: bytes) -> bool:
        """Make a file with `content` appear under its name in one step. Return False when the name is taken."""
        try:
            self._link_nameless(name, content)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            return self._link_pending(name, content)
        return True

    def _link_nameless(self, name: str, content: bytes) -> None:
        """Write a file without a name, and link it in through its descriptor (open(2), O_TMPFILE)."""
        descriptor = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=self._descriptor)
        try:
            overwrite.write(descriptor, content)
            boot.stamp(descriptor)
            # AT_EMPTY_PATH would need CAP_DAC_READ_SEARCH; the path in /proc does not (open(2), O_TMPFILE).
            os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=self._descriptor, follow_symlinks=True)
        finally:
            os.close(descriptor)

    def _link_pending(self, name: str, content: bytes) -> bool:
        """Do the same with a hidden name outside the directory. The lock ensures that nobody else uses that name."""
        pending = _beside(self.location, "reserving")
        # A crash may have left one; O_EXCL below would refuse it for ever.
        _forget(pending, self._descriptor)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | QUIET
        try:
            with os.fdopen(os.open(pending, flags, 0o600, dir_fd=self._descriptor), "wb") as file:
                file.write(content)
                boot.stamp(file.fileno())
            os.link(pending, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor, follow_symlinks=False)
        except FileExistsError:
            return False
        finally:
            _forget(pending, self._descriptor)
        return True

    def _clear(self, name: str) -> bool:
        """Return whether the name is free, after removing a vacant file of that name."""
        try:
            found = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return True
        if not stat.S_ISREG(found.st_mode):
            return False
        present = self._read(name)
        if present.vacant:
            self.release(present)
            self._log(f"{self.location}/{name} is free: left by {present.text or 'an interrupted write'!r}")
        return present.vacant


@contextlib.contextmanager
def locked(
    location: str, log: Callable[[str], object], *, create: bool, reclaim: bool | None = False
) -> Iterator[Directory]:
    """Open the directory `location` (absolute) and hold its lock within the block.

    With `create` the directory is made, with mode 0755 and its parents. With `reclaim`, reservations of an earlier boot
    are vacant. Raises CniError 11 when another program holds the lock too long, and 5 that names `location` for what
    the disk refuses, also within the block.
    """
    try:
        with contextlib.ExitStack() as held:
            descriptor = _folder(location, create=create)
            held.callback(os.close, descriptor)
            held.enter_context(_lock(location, descriptor))
            with contextlib.suppress(OSError):  # what a crash left; nobody uses it
                _forget(_beside(location, "reserving"), descriptor)
            directory = Directory(location, descriptor, log, reclaim=reclaim)
            held.callback(directory.settle)
            yield directory
    except TimeoutError as held_by_another:
        what = f"address book {location}: another program keeps it locked"
        raise CniError(Code.TRY_AGAIN_LATER, what, str(held_by_another.strerror)) from held_by_another
    except OSError as error:
        raise CniError(
            Code.IO_FAILURE,
            f"address book {location}: {error.strerror or error}",
            REMEDIES.get(error.errno or 0, WRITABLE).format(path=location),
        ) from error


@contextlib.contextmanager
def _lock(location: str, directory: int) -> Iterator[None]:
    """Hold the lock with flock(2), as the reference does.

    On a read-only file system without the file nobody can write, so none is needed.
    """
    try:
        lock = os.open(LOCK, os.O_RDONLY | os.O_CREAT | QUIET, 0o750, dir_fd=directory)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        yield
        return
    try:
        locks.lock_file(lock, f"{location}/{LOCK}")
        yield
    finally:
        os.close(lock)


def _folder(location: str, *, create: bool) -> int:
    """Open a directory, made with its parents if necessary."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    if create:
        with contextlib.suppress(FileNotFoundError):
            return os.open(location, flags)
        folders.make(location)
    return os.open(location, flags)


def _beside(location: str, purpose: str) -> str:
    """Return a hidden name beside the directory, relative to it. Under `reserving` a reservation waits for its name.

    What a crash leaves there is removed by the next command that has the lock. No network's name begins with a dot.
    """
    return f"../.{shortened(os.path.basename(location), NAME_BYTES - len(purpose) - 2)}.{purpose}"


def _forget(path: str, directory: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path, dir_fd=directory)


def _scan(directory: int, prefix: str, depth: int, *, reclaim: bool | None) -> Iterator[Reservation]:
    with os.scandir(directory) as entries:
        listed = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    for name, is_folder in listed:
        if is_folder:
            yield from _scan_below(name, directory, prefix, depth - 1, reclaim=reclaim)
        elif name != LOCK and not name.startswith(CURSOR):
            yield _reservation(name, directory, prefix, reclaim=reclaim)


def _scan_below(name: str, directory: int, prefix: str, depth: int, *, reclaim: bool | None) -> Iterator[Reservation]:
    """Read a subdirectory. One that cannot be opened, or is too deep, counts as empty."""
    try:
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | QUIET, dir_fd=directory)
    except OSError:
        return
    try:
        if depth:
            yield from _scan(below, f"{prefix}{name}/", depth, reclaim=reclaim)
    finally:
        os.close(below)


def _reservation(name: str, directory: int, prefix: str, *, reclaim: bool | None) -> Reservation:
    address = _address(name)
    try:
        with _opened(name, directory) as (descriptor, size):
            content = os.read(descriptor, min(size, LARGEST))
            if not content.strip(b"\0"):  # a power failure: the name was on the disk, the content not yet
                content = b""
            vacant = not content or (reclaim is not False and boot.is_earlier(descriptor, anywhere=bool(reclaim)))
    except OSError:
        return Reservation(prefix + name, address, None)
    return Reservation(prefix + name, address, content.decode(errors="replace").strip(), vacant)


def _address(name: str) -> IPAddress | None:
    try:
        return addresses.parse_address(name)
    except ValueError:
        return None


def _content(name: str, directory: int) -> bytes:
    with _opened(name, directory) as (descriptor, size):
        return os.read(descriptor, min(size, LARGEST))


@contextlib.contextmanager
def _opened(name: str, directory: int) -> Iterator[tuple[int, int]]:
    """Open a regular file for reading, and return its size, too."""
    descriptor = os.open(name, os.O_RDONLY | QUIET, dir_fd=directory)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "no regular file", name)
        yield descriptor, found.st_size
    finally:
        os.close(descriptor)
