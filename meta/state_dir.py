"""A directory of small files, one per attachment, in which a program saves what its DEL needs.

A file is on disk (fsync) before ADD goes on: what it describes may survive a power failure.
"""
# pathlib costs milliseconds that every container's start would pay:
# ruff: noqa: PTH108, PTH118, PTH123, PTH208

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass

from cni.errors import SYSTEM_REMEDIES, CniError, Code
from system import atomic_file, folders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 16 * 2**20
"""Bytes: as large as a configuration on stdin may be."""

ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})
"""The errors which show that no file of that name exists."""

QUIET = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""No symbolic link of the directory is followed, and no FIFO can make DEL wait."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory of saved files. Every method raises CniError 5 that names the file."""

    path: str
    whose: str  # name of the program

    def put(self, name: str, content: bytes) -> None:
        """Write a file in one step, of mode 0600 in a directory of mode 0700."""
        with self._explained():
            folders.make(self.path, 0o700)
            atomic_file.replace(self._at(name), content, 0o600, pending=self._at(f".{name}"))

    def get(self, name: str) -> bytes | None:
        """Return what a regular file contains; None when there is none of that name."""
        with self._explained():
            try:
                descriptor = os.open(self._at(name), os.O_RDONLY | QUIET)
            except OSError as error:
                if error.errno in ABSENT:
                    return None
                raise
            with open(descriptor, "rb") as file:
                return file.read(LARGEST) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None

    def remove(self, name: str) -> None:
        """Delete the file, and a temporary one that a killed ADD left. Absence is success."""
        with self._explained():
            for path in (self._at(f".{name}"), self._at(name)):
                if os.path.lexists(
                    path
                ):  # on a read-only file system deleting an absent file fails, too, and DEL must not
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(path)

    def names(self) -> list[str]:
        """Return the names of all files, sorted, without temporary ones."""
        with self._explained():
            try:
                return sorted(name for name in os.listdir(self.path) if not name.startswith("."))
            except FileNotFoundError:
                return []

    def _at(self, name: str) -> str:
        return os.path.join(self.path, name)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CniError(
                Code.IO_FAILURE,
                f"{self.whose}'s memory {error.filename or self.path}: {error.strerror or error}",
                SYSTEM_REMEDIES.get(error.errno or 0, f"{self.path} must be a directory writable for root"),
            ) from error
