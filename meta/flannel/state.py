"""Saves on disk what each attachment's delegate was told, so that DEL can repeat it without the lease.

The file of the interface eth0 has flannel's own name, `<container>`, so that each program's DEL finds what the other's
ADD saved. flannel uses that one name for all interfaces of a container; here another interface has
`<container>:<interface>`, which is unambiguous because neither part can contain a colon.

A newline at the end, which JSON allows, marks our `<container>` files. One without it is flannel's: it may be of any
interface, and is never overwritten.

A file is on disk (fsync) before ADD goes on: after a power failure the delegate's addresses may still be reserved.
"""

from __future__ import annotations

from dataclasses import dataclass

from meta.state_dir import Folder

FIRST = "eth0"
"""The interface whose file has flannel's name. The chains of portmap do the same."""

OURS = b"\n"


@dataclass(frozen=True, slots=True)
class Memory:
    """What is saved of one attachment."""

    container_id: str
    ifname: str  # empty in a file of flannel, which does not record it
    content: bytes  # the delegate's configuration

    @property
    def own_file(self) -> str:
        """The file name that no other attachment has."""
        return f"{self.container_id}:{self.ifname}" if self.ifname else self.container_id


def remember(folder: str, memory: Memory) -> None:
    """Save it in one step, in a file of mode 0600 in a directory of mode 0700. Raises CniError 5."""
    if memory.ifname == FIRST and not _is_flannels(folder, memory.container_id):
        _files(folder).put(memory.container_id, memory.content + OURS)
        _files(folder).remove(memory.own_file)  # of an ADD by a version that did not use this name
    else:
        _files(folder).put(memory.own_file, memory.content)


def recall(folder: str, container_id: str, ifname: str) -> Memory | None:
    """Return what is saved of an attachment, else what flannel saved of its container. Raises CniError 5."""
    memory = own(folder, container_id, ifname)
    if memory:
        return memory
    shared = _shared(folder, container_id)
    return shared if shared and not shared.ifname else None


def own(folder: str, container_id: str, ifname: str) -> Memory | None:
    """Return what is saved of exactly this attachment. Raises CniError 5."""
    content = _files(folder).get(Memory(container_id, ifname, b"").own_file)
    if content is not None:
        return Memory(container_id, ifname, content)
    shared = _shared(folder, container_id) if ifname == FIRST else None
    return shared if shared and shared.ifname else None


def forget(folder: str, memory: Memory) -> None:
    """Delete the file, and a temporary one that a killed ADD left. Absence is success. Raises CniError 5."""
    _files(folder).remove(memory.own_file)
    if memory.ifname == FIRST and not _is_flannels(folder, memory.container_id):
        _files(folder).remove(memory.container_id)


def memories(folder: str) -> tuple[Memory, ...]:
    """Return everything saved in `folder`, sorted by file name. Raises CniError 5."""
    splits = (name.partition(":") for name in _files(folder).names())
    found = (own(folder, name, ifname) if ifname else _shared(folder, name) for name, _, ifname in splits)
    return tuple(memory for memory in found if memory)


def _shared(folder: str, container_id: str) -> Memory | None:
    """Return what is saved under flannel's own name: ours for eth0, or flannel's."""
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
