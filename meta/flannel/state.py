"""Remembers on disk what each attachment's delegate was told, so that DEL says the same again without the lease.

One file an attachment, `<container>:<interface>`: neither part can hold a colon. The reference keeps `<container>` alone,
which two attachments of one container overwrite; such a file is still read, so that an upgrade strands nobody. Durable
before ADD goes on: after a power failure the delegate's addresses may still be on disk. Must not know what is remembered.
"""

from __future__ import annotations

from dataclasses import dataclass

from meta.filing import Folder


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
    _files(folder).put(memory.file, memory.content)


def recall(folder: str, container_id: str, ifname: str) -> Memory | None:
    """Return what is remembered of an attachment, else what the reference remembers of its container. Raises CniError 5."""
    return own(folder, container_id, ifname) or own(folder, container_id, "")


def own(folder: str, container_id: str, ifname: str) -> Memory | None:
    """Return what stands in the file of exactly this name. Raises CniError 5."""
    content = _files(folder).get(Memory(container_id, ifname, b"").file)
    return None if content is None else Memory(container_id, ifname, content)


def forget(folder: str, memory: Memory) -> None:
    """Remove the file, and what a killed ADD may have left of one; nothing there is fine. Raises CniError 5."""
    _files(folder).remove(memory.file)


def memories(folder: str) -> tuple[Memory, ...]:
    """Return everything remembered in `folder`, in the order of names. Raises CniError 5."""
    splits = (name.partition(":") for name in _files(folder).names())
    found = (own(folder, container_id, ifname) for container_id, _, ifname in splits)
    return tuple(memory for memory in found if memory)


def _files(folder: str) -> Folder:
    return Folder(folder, "flannel")
