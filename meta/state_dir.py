"""A folder of small files, one for each attachment, where a program remembers what its DEL needs.

Durable before ADD goes on: what it stands for may still be on disk after a power failure. Must not know what files say.
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
"""As much as a configuration on stdin may be."""

ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})
"""What says that nothing can have been remembered under a name."""

QUIET = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""No file of the folder may lead out of it, and no FIFO may hold a container's end up."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The directory at `path`, kept by the program `whose`; every method raises CniError 5, which names the file."""

    path: str
    whose: str

    def put(self, name: str, content: bytes) -> None:
        """Put a file in place in one step, 0600 in a directory made 0700."""
        with self._explained():
            folders.make(self.path, 0o700)
            atomic_file.replace(self._at(name), content, 0o600, pending=self._at(f".{name}"))

    def get(self, name: str) -> bytes | None:
        """Return what the regular file holds; None when there is none of that name, or it is something else."""
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
        """Remove the file, and what a killed ADD may have left of one; nothing there is fine."""
        with self._explained():
            for path in (self._at(f".{name}"), self._at(name)):
                if os.path.lexists(path):  # on a read-only file system removing nothing fails too, and DEL must not
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(path)

    def names(self) -> list[str]:
        """Return the names of all files that are in place, in order."""
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
