"""Finds and removes the links of an attachment, with or without its namespace.

What is absent counts as removed. A link whose alias names another attachment is not touched.
"""

from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import Self

from cni.attachment_id import AttachmentID, spellings
from kernel import netns as namespaces
from kernel.deferred import DeferredDelete
from kernel.errors import KernelError
from kernel.netlink.handle import Handle, Link
from kernel.netlink.requests import DeleteLink
from system.ip import IPAddress

SCOPE_UNIVERSE = 0  # linux/rtnetlink.h: a global address


class Removal:
    """The deletion of one attachment's veth pair, found by the alias of its host end.

    The container may have renamed its end, moved it, or replaced it by another link, so the alias on the host decides.
    The kernel unlists both ends within a millisecond, then waits 15 ms and more for their last users before it answers.
    Nobody can see or use the ends any more, so a thread waits for the answer.
    """

    def __init__(
        self, owner: AttachmentID, netns: str, *, remember: bool = True, recorded: Callable[[], Collection[str]] = tuple
    ) -> None:
        """Remember what to delete; `recorded` returns the host's links in ADD's result.

        Ports that the reference made carry no alias, so only the result leads to them.
        """
        self._owner, self._netns, self._remember, self._recorded = owner, netns, remember, recorded
        self._doors = ExitStack()
        self._deletion: DeferredDelete | None = None
        self._is_gone: Callable[[], bool] | None = None
        self.finished = False
        """Whether everything of the attachment that can be seen is gone."""
        self.addresses: tuple[IPAddress, ...] = ()
        """With `remember`: the global addresses of the interface, as far as they could be read in `begin`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._doors.close()

    def begin(self) -> None:
        """Find what is to be deleted, and start to delete it. Raises KernelError."""
        host = self._doors.enter_context(Handle())
        container, link = self._interface()
        port = _host_end(link, host) if link else None
        if self._remember and container and link:
            self.addresses = _global_addresses(container, link)
        if port is not None and port.alias == self._owner.alias:
            self._is_gone = lambda: host.link(port.index) is None
            door = Handle()
            self._deletion = DeferredDelete(lambda: self._unplug(door, port), door.fileno())
        else:
            doomed = link if link and not (port and _is_foreign(port, self._owner)) else None
            self._deletion = DeferredDelete(lambda: self._search(host, container, doomed))

    def finish(self) -> None:
        """Return when nothing can be seen any more. Raises KernelError for what the kernel refused."""
        if self._deletion is not None:
            self._deletion.finish(self._is_gone)
            self.finished = True

    def _interface(self) -> tuple[Handle | None, Link | None]:
        """Return a handle of the container's namespace and the interface in it; None where there is none."""
        try:
            namespace = self._doors.enter_context(namespaces.open_other(self._netns))
            container = self._doors.enter_context(Handle(namespace))
            return container, container.link(self._owner.ifname)
        except KernelError:
            return None, None

    def _unplug(self, door: Handle, port: Link) -> None:
        with door:
            _delete_if_there(door, port.index)

    def _search(self, host: Handle, container: Handle | None, link: Link | None) -> None:
        """Delete the host's links with the attachment's alias, then the interface of its name in the container."""
        _delete_by_alias(host, {self._owner.alias})
        for port in filter(None, map(host.link, self._recorded())):
            if container is not None and _leads_to(port, container, host):
                _delete_if_there(host, port.index)
        if container is not None and link is not None:
            _delete_if_there(container, link.index)


def unplug_strangers(network: str, known: Collection[AttachmentID]) -> frozenset[str]:
    """Delete every host end of `network` that belongs to none of the `known` attachments; return their names."""
    keep = {owner.alias for owner in known}
    with Handle() as host:
        ours = [link for link in host.links() if link.kind == "veth" and _names(link.alias, network)]
        strangers = [link for link in ours if link.alias not in keep]
        for link in strangers:
            _delete_if_there(host, link.index)
    return frozenset(link.name for link in strangers)


def siblings(owner: AttachmentID) -> bool:
    """Return whether the container has another interface on the same network: they share an iptables chain."""
    start = owner.alias.removesuffix(owner.ifname)
    with Handle() as host:
        return any(link.alias.startswith(start) and link.alias != owner.alias for link in host.links())


def _names(alias: str, network: str) -> bool:
    named = AttachmentID.signed(alias)
    return named is not None and named.network in spellings(network)


def _global_addresses(network: Handle, link: Link) -> tuple[IPAddress, ...]:
    return tuple(entry.address.ip for entry in network.addresses(link.index) if entry.scope == SCOPE_UNIVERSE)


def _host_end(link: Link, host: Handle) -> Link | None:
    """Return the other end of the veth `link` if it is on the host."""
    host_end = host.link(link.peer) if link.peer else None
    return host_end if host_end is not None and host_end.peer == link.index else None


def _leads_to(port: Link, container: Handle, host: Handle) -> bool:
    """Return whether a link of the host that has no alias of ours is one end of a veth pair into the container."""
    nameless = port.kind == "veth" and AttachmentID.signed(port.alias) is None and port.peer_space is not None
    return nameless and container.namespace is not None and port.peer_space == host.number_of(container.namespace)


def _is_foreign(host_end: Link, owner: AttachmentID) -> bool:
    """Return whether the host end's alias names another attachment; without an alias the interface's name decides."""
    return AttachmentID.signed(host_end.alias) is not None and host_end.alias != owner.alias


def _delete_by_alias(host: Handle, aliases: Collection[str]) -> None:
    for link in host.links():
        if link.alias in aliases and link.kind == "veth":
            _delete_if_there(host, link.index)


def _delete_if_there(network: Handle, index: int) -> None:
    try:
        network.apply(DeleteLink(index))
    except KernelError as refused:
        if not refused.gone:
            raise
