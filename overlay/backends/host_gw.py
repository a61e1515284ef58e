"""Backend host-gw: every host is the gateway to its subnet, by routes, no tunnel (docs/reference/flannel.md 5.2).

It is for hosts on one Ethernet segment, and publishes no data of its own. A peer that is not on the interface's segment
is left out, with the reason; the kernel would refuse its route. A switch that drops packets from addresses it does not
know (as many clouds do) breaks it, and that is not noticed here.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from overlay.backends import Backend, Desired, GatewayRoutes, OnLinkLookup, Underlay, nowhere, peer_filter
from overlay.backends.entry import Entry
from overlay.config.network import NetworkConfig
from overlay.errors import Unavailable
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease
from system.ip import IPAddress, IPNetwork

TYPE = "host-gw"
NEEDED = "as host-gw needs"
"""Says in the reason why a peer was left out that it is on another wire."""


def derived(_: NetworkConfig, subnet: Subnet, public: IPv4Address, public_v6: IPv6Address | None) -> Attributes:
    """Return the published value (docs/reference/flannel.md 2.2)."""
    return Attributes(public, public_v6 if subnet.ipv6 else None, TYPE)


def build(config: NetworkConfig, underlay: Underlay, _: Mapping[str, str]) -> Backend:
    """Make the backend of one host; raises Unavailable."""
    return HostGw(config, underlay)


class HostGw:
    """The backend of one host; containers may send what the interface can."""

    def __init__(self, config: NetworkConfig, underlay: Underlay) -> None:
        """Refuse an address that is not the interface's own: nobody can use it as a gateway."""
        if underlay.local is not None and underlay.local != underlay.public_ip:
            what = f"host-gw cannot work behind NAT: {underlay.interface} has {underlay.local}, published is {underlay.public_ip}"
            raise Unavailable(f"{what}; leave --public-ip out, or take the backend vxlan or wireguard")
        if config.ipv6 and underlay.public_ipv6 is None:
            remedy = "give the interface an IPv6 address, or set --public-ipv6"
            raise Unavailable(f"{underlay.interface} has no IPv6 address for a dual-stack network; {remedy}")
        self._config, self._underlay, self.mtu = config, underlay, underlay.mtu

    def attributes(self, subnet: Subnet) -> Attributes:
        """Return the published value."""
        return derived(self._config, subnet, self._underlay.public_ip, self._underlay.public_ipv6)

    def desired(self, own: Lease, peers: Sequence[Lease], reach: OnLinkLookup = nowhere) -> Desired:
        """Return a route a family for every peer on the interface's wire."""
        theirs = [peer for peer in peers if peer.attributes.backend_type == TYPE]
        usable, refused = peer_filter.divide(theirs, partial(self._problem, own, reach))
        routes = frozenset(
            (dst, gateway, self._underlay.interface) for peer in usable for dst, gateway in self._ways(peer, reach)
        )
        return Desired(direct=GatewayRoutes(routes, self._config.networks), unusable=refused)

    def _problem(self, own: Lease, reach: OnLinkLookup, peer: Lease) -> str:
        problem, public = peer_filter.problem(own, peer, self._config), peer.attributes.public_ip
        if not problem and reach(public) != self._underlay.interface:
            return f"its PublicIP {public} is not on the wire of {self._underlay.interface}, {NEEDED}"
        return problem

    def _ways(self, peer: Lease, reach: OnLinkLookup) -> list[tuple[IPNetwork, IPAddress]]:
        network, public = peer.subnet.ipv6, peer.attributes.public_ipv6
        ways: list[tuple[IPNetwork, IPAddress]] = [(peer.subnet.ipv4, peer.attributes.public_ip)]
        if network is None or public is None or self._config.ipv6 is None:
            return ways
        inside = peer_filter.within(network, self._config.ipv6.network)
        return [*ways, (network, public)] if inside and reach(public) == self._underlay.interface else ways


ROUTED = (
    'hosts with a router between them need the backend vxlan, whose "DirectRouting" goes without a tunnel where it can'
)

ENTRY = Entry(TYPE, build, derived, remedies=((NEEDED, ROUTED),))
