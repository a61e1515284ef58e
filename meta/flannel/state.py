"""Remembers on disk what each attachment's delegate was told, so that DEL says the same again without the lease.

One file an attachment, `<container>:<interface>`: neither part can hold a colon. The reference keeps `<container>` alone,
which two attachments of one container overwrite; such a file is still read, so that an upgrade strands nobody. Durable
before ADD goes on: after a power failure the delegate's addresses may still be on disk. Must not know what is remembered.
"""
# pathlib costs milliseconds that every container's start would pay:
# ruff: noqa: PTH103, PTH108, PTH118, PTH123, PTH208

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass

from cni.errors import CniError, Code
from lease import durable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 16 * 2**20
"""As much as a configuration on stdin may be."""

ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})
"""What says that nothing can have been remembered under a name."""

QUIET = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""No file of the directory may lead out of it, and no FIFO may hold a container's end up."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of an attachment; `ifname` is empty in a file of the reference, which does not tell."""

    container_id: str
    ifname: str
    content: bytes

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.container_id}:{self.ifname}" if self.ifname else self.container_id


def remember(folder: str, memory: Memory) -> None:
    """Put `memory` in place in one step, file 0600 in a directory made 0700. Raises CniError 5."""
    pending = os.path.join(folder, f".{memory.file}")
    with _explained(folder):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        durable.replace(os.path.join(folder, memory.file), memory.content, 0o600, pending=pending)


def recall(folder: str, container_id: str, ifname: str) -> Memory | None:
    """Return what is remembered of an attachment, else what the reference remembers of its container. Raises CniError 5."""
    return own(folder, container_id, ifname) or own(folder, container_id, "")


def own(folder: str, container_id: str, ifname: str) -> Memory | None:
    """Return what stands in the file of exactly this name. Raises CniError 5."""
    name = Memory(container_id, ifname, b"").file
    with _explained(folder):
        content = _content(os.path.join(folder, name))
    return None if content is None else Memory(container_id, ifname, content)


def forget(folder: str, memory: Memory) -> None:
    """Remove the file, and what a killed ADD may have left of one; nothing there is fine. Raises CniError 5."""
    with _explained(folder):
        for name in (f".{memory.file}", memory.file):
            _unlink(os.path.join(folder, name))


def memories(folder: str) -> tuple[Memory, ...]:
    """Return everything remembered in `folder`, in the order of names. Raises CniError 5."""
    with _explained(folder):
        try:
            names = sorted(os.listdir(folder))
        except FileNotFoundError:
            return ()
        return tuple(_memories(folder, names))


def _memories(folder: str, names: list[str]) -> Iterator[Memory]:
    for name in names:
        content = None if name.startswith(".") else _content(os.path.join(folder, name))
        if content is not None:
            container_id, _, ifname = name.partition(":")
            yield Memory(container_id, ifname, content)


def _content(path: str) -> bytes | None:
    """Return what the regular file `path` holds, None when there is none of that name."""
    try:
        descriptor = os.open(path, os.O_RDONLY | QUIET)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise
    with open(descriptor, "rb") as file:
        return file.read(LARGEST) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def _unlink(path: str) -> None:
    """Remove `path` if it is there: on a read-only file system removing nothing fails too, and DEL must not."""
    if os.path.lexists(path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


@contextlib.contextmanager
def _explained(folder: str) -> Iterator[None]:
    """Turn what the disk refuses into CniError 5 naming the file."""
    try:
        yield
    except OSError as error:
        raise CniError(
            Code.IO_FAILURE,
            f"flannel's memory {error.filename or folder}: {error.strerror or error}",
            f"{folder} must be a directory writable for root and its file system not full",
        ) from error
