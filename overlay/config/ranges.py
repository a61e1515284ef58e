"""Decides whether a network's range is free on this host: no other address or route may be in it.

It decides from what the kernel lists, without I/O. `tulle join` asks before it writes, and a daemon before it starts.
The caller says which subnets the network itself already has here. Routes in other tables than main are not considered.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_network

from kernel.netlink.objects import Address, Link, Route
from overlay.backends import registry
from system.ip import IPNetwork


def overlaps(
    network: IPNetwork,
    links: Collection[Link],
    addresses: Collection[Address],
    routes: Collection[Route],
    own: Collection[str] = (),
) -> Iterator[str]:
    """Yield in words each address and route of this host that overlaps `network`, but for the network's own.

    Those are what devices of a daemon have, and the links that are named in `own`: the bridge of the network.
    """
    ours = {link.index for link in links if registry.is_own_device(link.name) or link.name in own}
    names = {link.index: link.name for link in links}
    told: set[tuple[int, IPNetwork]] = set()
    for held in addresses:
        if held.link not in ours and _meet(network, held.address.network):
            told.add((held.link, held.address.network))
            yield f"the address {held.address} of {names.get(held.link, '?')}"
    for route in routes:
        link = route.link or next((hop.link for hop in route.hops), 0)
        known = link in ours or (link, route.dst) in told or route.kind != "unicast" or not route.dst.prefixlen
        if not known and _meet(network, route.dst):
            via = f" via {route.gateway}" if route.gateway else ""
            yield f"the route {route.dst}{via} dev {names.get(link, '?')}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the kernel lists of a host."""

    links: tuple[Link, ...]
    """All links."""
    addresses: tuple[Address, ...]
    """All addresses."""
    routes: tuple[Route, ...]
    """The routes of the main table."""

    def outside(self, held: Collection[IPNetwork]) -> "Seen":
        """Return this without what is in a subnet this host has had: its bridge, whatever its name, and containers' routes."""
        return replace(
            self,
            addresses=tuple(one for one in self.addresses if not _in_any(one.address.network, held)),
            routes=tuple(one for one in self.routes if not _in_any(one.dst, held)),
        )


def _in_any(network: IPNetwork, held: Collection[IPNetwork]) -> bool:
    return any(_within(network, one) for one in held)


def forbidden(network: IPNetwork) -> str:
    """Return why no network of containers can have this range; empty when one can."""
    if network.is_loopback or network.is_multicast or network.is_link_local:
        kind = "loopback" if network.is_loopback else "multicast" if network.is_multicast else "link-local"
        return f"{network} is {kind} range: the kernel routes none of it between hosts"
    return ""


def doubtful(network: IPNetwork) -> str:
    """Return what to think of before a network takes this range; empty for a private one."""
    if any(_within(network, private) for private in PRIVATE):
        return ""
    return f"{network} is public range: hosts there are out of reach of every host and container of this network"


PRIVATE = tuple(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15", "fc00::/7"))
)
"""RFC 1918, RFC 6598, RFC 2544 and RFC 4193."""


def _meet(one: IPNetwork, other: IPNetwork) -> bool:
    return one.version == other.version and one.overlaps(other)


def _within(inner: IPNetwork, outer: IPNetwork) -> bool:
    return inner.version == outer.version and inner.prefixlen >= outer.prefixlen and inner.network_address in outer
