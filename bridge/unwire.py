"""Finds and removes what an attachment left, with or without its namespace.

An absent thing is success. Must not touch a link whose alias names another attachment of ours.
"""

from collections.abc import Collection

from cni.owner import Owner
from cni.types import IPAddress
from kernel import namespaces
from kernel.errors import KernelError, NamespaceGone
from kernel.network import Link, Network
from kernel.requests import DeleteLink


def unplug(owner: Owner, netns: str) -> tuple[IPAddress, ...]:
    """Delete the container's interface and with it the host end; when it cannot be found there, by the host end's alias.

    Return the global addresses the interface had, as far as they could be read.
    """
    with Network() as host:
        addresses = _unplug_inside(owner, netns, host)
        if addresses is None:
            _delete_by_alias(host, {owner.alias})
        return addresses or ()


def unplug_strangers(network: str, known: Collection[Owner]) -> None:
    """Delete every host end of `network` that belongs to none of the `known` attachments."""
    keep = {owner.alias for owner in known}
    with Network() as host:
        ours = {link.alias for link in host.links() if link.kind == "veth" and _names(link.alias, network)}
        _delete_by_alias(host, ours - keep)


def siblings(owner: Owner) -> bool:
    """Tell whether the same container still has another interface on the same network: they share an iptables chain."""
    start = f"{owner.network}/{owner.container_id}/"
    with Network() as host:
        return any(link.alias.startswith(start) and link.alias != owner.alias for link in host.links())


def _names(alias: str, network: str) -> bool:
    """Tell whether `alias` is `net/id/ifname` of `network`; neither part can hold a slash."""
    parts = alias.split("/")
    return len(parts) == 3 and parts[0] == network


def _unplug_inside(owner: Owner, netns: str, host: Network) -> tuple[IPAddress, ...] | None:
    """Delete the attachment's interface in the namespace at `netns`, return its addresses; None when it is not there."""
    if not netns:
        return None
    try:
        with namespaces.open_path(netns) as namespace, Network(namespace) as container:
            link = container.link(owner.ifname)
            if link is None or _is_foreign(link, owner, host) or namespace.identity == _own_identity():
                return None
            addresses = tuple(entry.address.ip for entry in container.addresses(link.index) if entry.scope == 0)
            container.apply(DeleteLink(link.index))
    except NamespaceGone:
        return None
    except KernelError as refused:
        if refused.gone:
            return None
        raise
    return addresses


def _is_foreign(link: Link, owner: Owner, host: Network) -> bool:
    """Tell whether the host end says that `link` is another attachment's; a link without alias is taken by its name."""
    host_end = host.link(link.peer) if link.peer else None
    if host_end is None or host_end.peer != link.index:
        return False
    return host_end.alias.count("/") == 2 and host_end.alias != owner.alias


def _own_identity() -> tuple[int, int]:
    with namespaces.current() as own:
        return own.identity


def _delete_by_alias(host: Network, aliases: Collection[str]) -> None:
    for link in host.links():
        if link.alias in aliases and link.kind == "veth":
            _delete_if_there(host, link.index)


def _delete_if_there(host: Network, index: int) -> None:
    try:
        host.apply(DeleteLink(index))
    except KernelError as refused:
        if not refused.gone:
            raise
