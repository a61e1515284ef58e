"""Remembers on disk what each attachment's delegate was told, so that DEL says the same again without the lease.

The first interface's file has flannel's own name, `<container>`, so that either program's DEL finds what the other's ADD made. Flannel has
that one for all of a container's interfaces, which overwrite each other; here any other has `<container>:<interface>`: neither part can
hold a colon. A line end, which no JSON reader minds, tells our `<container>` from one of flannel's, which may be of any interface and is
never written over. Durable before ADD goes on: after a power failure the delegate's addresses may still be on disk. Must not know what is
remembered.
"""

from __future__ import annotations

from dataclasses import dataclass

from meta.state_dir import Folder

FIRST = "eth0"
"""The interface whose file has flannel's name, as with the chains of portmap."""

OURS = b"\n"


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of an attachment; `ifname` is empty in a file of the reference, which does not tell."""

    container_id: str
    ifname: str
    content: bytes

    @property
    def own_file(self) -> str:
        """The name that no other attachment's file has."""
        return f"{self.container_id}:{self.ifname}" if self.ifname else self.container_id


def remember(folder: str, memory: Memory) -> None:
    """Put `memory` in place in one step, file 0600 in a directory made 0700. Raises CniError 5."""
    if memory.ifname == FIRST and not _is_flannels(folder, memory.container_id):
        _files(folder).put(memory.container_id, memory.content + OURS)
        _files(folder).remove(memory.own_file)  # of an ADD before this name was used
    else:
        _files(folder).put(memory.own_file, memory.content)


def recall(folder: str, container_id: str, ifname: str) -> Memory | None:
    """Return what is remembered of an attachment, else what the reference remembers of its container. Raises CniError 5."""
    memory = own(folder, container_id, ifname)
    if memory:
        return memory
    shared = _shared(folder, container_id)
    return shared if shared and not shared.ifname else None


def own(folder: str, container_id: str, ifname: str) -> Memory | None:
    """Return what is remembered of exactly this attachment. Raises CniError 5."""
    content = _files(folder).get(Memory(container_id, ifname, b"").own_file)
    if content is not None:
        return Memory(container_id, ifname, content)
    shared = _shared(folder, container_id) if ifname == FIRST else None
    return shared if shared and shared.ifname else None


def forget(folder: str, memory: Memory) -> None:
    """Remove the file, and what a killed ADD may have left of one; nothing there is fine. Raises CniError 5."""
    _files(folder).remove(memory.own_file)
    if memory.ifname == FIRST and not _is_flannels(folder, memory.container_id):
        _files(folder).remove(memory.container_id)


def memories(folder: str) -> tuple[Memory, ...]:
    """Return everything remembered in `folder`, in the order of names. Raises CniError 5."""
    splits = (name.partition(":") for name in _files(folder).names())
    found = (own(folder, name, ifname) if ifname else _shared(folder, name) for name, _, ifname in splits)
    return tuple(memory for memory in found if memory)


def _shared(folder: str, container_id: str) -> Memory | None:
    """Return what stands under flannel's own name: ours of the first interface, or its."""
    content = _files(folder).get(container_id)
    if content is None:
        return None
    ours = content.endswith(OURS)
    return Memory(container_id, FIRST if ours else "", content.removesuffix(OURS))


def _is_flannels(folder: str, container_id: str) -> bool:
    shared = _shared(folder, container_id)
    return shared is not None and not shared.ifname


def _files(folder: str) -> Folder:
    return Folder(folder, "flannel")
