"""Finds and removes what an attachment left, with or without its namespace.

An absent thing is success. Must not touch a link whose alias names another attachment of ours.
"""

from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import Self

from cni.owner import Owner, spellings
from cni.types import IPAddress
from kernel import namespaces
from kernel.background import Background
from kernel.errors import KernelError, NamespaceGone
from kernel.network import Link, Network
from kernel.requests import DeleteLink

SCOPE_UNIVERSE = 0  # linux/rtnetlink.h: a global address


class Removal:
    """The deletion of one attachment's interface, and with it of the host end; without it there, of the host end by its alias.

    The kernel takes both ends off every list in a millisecond and then waits 15 and more until nothing in it can still hold
    one; only then does it answer. Nobody can see or use them any more meanwhile, so that wait is left to a thread.
    """

    def __init__(self, owner: Owner, netns: str, *, remember: bool = True) -> None:
        self._owner, self._netns, self._remember = owner, netns, remember
        self._doors = ExitStack()
        self._deletion: Background | None = None
        self._is_gone: Callable[[], bool] | None = None
        self._missed = False
        self.addresses: tuple[IPAddress, ...] = ()
        """With `remember`, the global addresses the interface had, as far as they could be read when it was begun."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._doors.close()

    def begin(self) -> None:
        """Find what is to be deleted and set the kernel to it. Raises KernelError."""
        host = self._doors.enter_context(Network())
        with ExitStack() as held:
            if found := self._interface(host, held):
                kept = held.pop_all()
                self._deletion = Background(lambda: self._delete(kept, *found), found[0].fileno())
                return
        self._deletion = Background(lambda: _delete_by_alias(host, {self._owner.alias}))

    def finish(self) -> None:
        """Return when nothing is left that can be seen; KernelError for what the kernel refused."""
        if self._deletion is not None:
            self._deletion.finish(self._is_gone)
        if self._missed:
            with Network() as host:
                _delete_by_alias(host, {self._owner.alias})

    def _delete(self, kept: ExitStack, container: Network, link: Link) -> None:
        with kept:
            self._missed = not _delete_if_there(container, link.index)

    def _interface(self, host: Network, held: ExitStack) -> tuple[Network, Link] | None:
        """Return the interface with the network it is in, which `held` keeps open; None when it is not there, or not ours.

        Where the host end is on this host, that both ends are gone shows by its index.
        """
        try:
            with namespaces.open_path(self._netns) as namespace:
                container = held.enter_context(Network(namespace))
                link = container.link(self._owner.ifname)
                if link is None or namespace.identity == _own_identity():
                    return None
        except NamespaceGone:
            return None
        host_end = _host_end(link, host)
        if host_end is not None:
            if _is_foreign(host_end, self._owner):
                return None
            self._is_gone = lambda: host.link(host_end.index) is None
        if self._remember:
            self.addresses = _global_addresses(container, link)
        return container, link


def unplug_strangers(network: str, known: Collection[Owner]) -> None:
    """Delete every host end of `network` that belongs to none of the `known` attachments."""
    keep = {owner.alias for owner in known}
    with Network() as host:
        ours = {link.alias for link in host.links() if link.kind == "veth" and _names(link.alias, network)}
        _delete_by_alias(host, ours - keep)


def siblings(owner: Owner) -> bool:
    """Tell whether the same container still has another interface on the same network: they share an iptables chain."""
    start = owner.alias.removesuffix(owner.ifname)
    with Network() as host:
        return any(link.alias.startswith(start) and link.alias != owner.alias for link in host.links())


def _names(alias: str, network: str) -> bool:
    named = Owner.signed(alias)
    return named is not None and named.network in spellings(network)


def _global_addresses(network: Network, link: Link) -> tuple[IPAddress, ...]:
    return tuple(entry.address.ip for entry in network.addresses(link.index) if entry.scope == SCOPE_UNIVERSE)


def _host_end(link: Link, host: Network) -> Link | None:
    """Return the other end of `link`'s cable when it is on the host."""
    host_end = host.link(link.peer) if link.peer else None
    return host_end if host_end is not None and host_end.peer == link.index else None


def _is_foreign(host_end: Link, owner: Owner) -> bool:
    """Tell whether the host end says that its cable is another attachment's; one without alias is taken by the interface's name."""
    return Owner.signed(host_end.alias) is not None and host_end.alias != owner.alias


def _own_identity() -> tuple[int, int]:
    with namespaces.current() as own:
        return own.identity


def _delete_by_alias(host: Network, aliases: Collection[str]) -> None:
    for link in host.links():
        if link.alias in aliases and link.kind == "veth":
            _delete_if_there(host, link.index)


def _delete_if_there(network: Network, index: int) -> bool:
    """Delete a link; return whether it was there."""
    try:
        network.apply(DeleteLink(index))
    except KernelError as refused:
        if refused.gone:
            return False
        raise
    return True
