"""Finds and removes what an attachment left, with or without its namespace.

An absent thing is success. Must not touch a link whose alias names another attachment of ours.
"""

from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import Self

from cni.attachment_id import AttachmentID, spellings
from cni.types import IPAddress
from kernel import netns as namespaces
from kernel.deferred import DeferredDelete
from kernel.errors import KernelError
from kernel.netlink.handle import Handle, Link
from kernel.netlink.requests import DeleteLink

SCOPE_UNIVERSE = 0  # linux/rtnetlink.h: a global address


class Removal:
    """The deletion of one attachment: of the host end that its alias names, and with it of the container's.

    The container may have renamed its end, moved it, or put another link in its place: only what the host keeps is believed.
    The kernel takes both ends off every list in a millisecond and then waits 15 and more until nothing in it can still hold
    one; only then does it answer. Nobody can see or use them any more meanwhile, so that wait is left to a thread.
    """

    def __init__(
        self, owner: AttachmentID, netns: str, *, remember: bool = True, recorded: Callable[[], Collection[str]] = tuple
    ) -> None:
        """Take from `recorded` which links of the host ADD answered with: ports of the reference's making carry no alias."""
        self._owner, self._netns, self._remember, self._recorded = owner, netns, remember, recorded
        self._doors = ExitStack()
        self._deletion: DeferredDelete | None = None
        self._is_gone: Callable[[], bool] | None = None
        self.finished = False
        """Whether nothing of the attachment is left that can be seen."""
        self.addresses: tuple[IPAddress, ...] = ()
        """With `remember`, the global addresses the interface had, as far as they could be read when it was begun."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._doors.close()

    def begin(self) -> None:
        """Find what is to be deleted and set the kernel to it. Raises KernelError."""
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
        """Return when nothing is left that can be seen; KernelError for what the kernel refused."""
        if self._deletion is not None:
            self._deletion.finish(self._is_gone)
            self.finished = True

    def _interface(self) -> tuple[Handle | None, Link | None]:
        """Return what has the interface's name in the container, and the network it is in; the host end is found without."""
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
        """Delete what bears the attachment's alias on the host, then what bears its name in the container."""
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
    """Tell whether the same container still has another interface on the same network: they share an iptables chain."""
    start = owner.alias.removesuffix(owner.ifname)
    with Handle() as host:
        return any(link.alias.startswith(start) and link.alias != owner.alias for link in host.links())


def _names(alias: str, network: str) -> bool:
    named = AttachmentID.signed(alias)
    return named is not None and named.network in spellings(network)


def _global_addresses(network: Handle, link: Link) -> tuple[IPAddress, ...]:
    return tuple(entry.address.ip for entry in network.addresses(link.index) if entry.scope == SCOPE_UNIVERSE)


def _host_end(link: Link, host: Handle) -> Link | None:
    """Return the other end of `link`'s cable when it is on the host."""
    host_end = host.link(link.peer) if link.peer else None
    return host_end if host_end is not None and host_end.peer == link.index else None


def _leads_to(port: Link, container: Handle, host: Handle) -> bool:
    """Tell whether a link of the host without a name of ours is one end of a cable into the container."""
    nameless = port.kind == "veth" and AttachmentID.signed(port.alias) is None and port.peer_space is not None
    return nameless and container.namespace is not None and port.peer_space == host.number_of(container.namespace)


def _is_foreign(host_end: Link, owner: AttachmentID) -> bool:
    """Tell whether the host end says that its cable is another attachment's; one without alias is taken by the interface's name."""
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
