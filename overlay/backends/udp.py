"""Backend udp: flannel's userspace tunnel, for networks that use it already (docs/reference/flannel.md 5.4).

It publishes addresses only; peers use their own port. It carries IPv4 only. A lease without a backend type may also be
one of the backend alloc: it is programmed, as by flanneld, and packets to it are lost.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Interface, IPv6Address

from overlay.backends import (
    AllowedPeers,
    Backend,
    Desired,
    L3Device,
    OnLinkLookup,
    UdpForwarding,
    Underlay,
    nowhere,
    peer_filter,
)
from overlay.backends.entry import Entry, HostResources
from overlay.config.network import NetworkConfig
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease

TYPE = "udp"
DEVICE = "flannel0"
"""What flanneld's `flannel%d` becomes on a host with one such network."""
OVERHEAD = 28
"""Bytes of outer IPv4 and UDP headers."""
LOWEST_MTU = 68
"""Bytes every IPv4 link must take (RFC 791)."""


def options(config: NetworkConfig) -> int:
    """Read and check the section "Backend": give the UDP port of all hosts; raises Refused."""
    if config.ipv6 is not None:
        raise config.backend.refusal("Type", "udp carries IPv4 only", "remove EnableIPv6, or take vxlan")
    return config.backend.number("Port", 8285, lowest=1, highest=65535)


def resources(config: NetworkConfig) -> HostResources:
    """Return what the network takes of its host; raises Refused."""
    return HostResources(config.networks, frozenset([DEVICE]), frozenset([options(config)]))


def derived(_: NetworkConfig, __: Subnet, public: IPv4Address, ___: IPv6Address | None) -> Attributes:
    """Return the published value, which names no backend (docs/reference/flannel.md 2.2)."""
    return Attributes(public)


def build(config: NetworkConfig, underlay: Underlay, _: Mapping[str, str]) -> Backend:
    """Make the backend of one host; raises Refused, Unavailable."""
    return Udp(config, underlay)


class Udp:
    """The backend of one host."""

    def __init__(self, config: NetworkConfig, underlay: Underlay) -> None:
        """Check what the underlay allows; raises Refused, or Unavailable where that may change."""
        self._config, self._underlay, self._port = config, underlay, options(config)
        self.mtu = underlay.mtu - OVERHEAD
        if self.mtu < LOWEST_MTU:
            raise underlay.too_small(0, LOWEST_MTU + OVERHEAD)

    def attributes(self, subnet: Subnet) -> Attributes:
        """Return the published value."""
        return derived(self._config, subnet, self._underlay.public_ip, None)

    def desired(self, own: Lease, peers: Sequence[Lease], reach: OnLinkLookup = nowhere) -> Desired:  # noqa: ARG002 - the protocol's
        """Return the device, the way of the whole network into it, and which host has which subnet."""
        theirs = [peer for peer in peers if not peer.attributes.backend_type]
        usable, refused = peer_filter.divide(theirs, partial(self._problem, own))
        base = own.subnet.ipv4.network_address
        routes = frozenset((peer.subnet.ipv4, peer.attributes.public_ip) for peer in usable)
        pipe = L3Device(
            name=DEVICE,
            mtu=self.mtu,
            addresses=(IPv4Interface((base, 32)),),
            networks=self._config.networks,
            carrier=UdpForwarding(
                self._underlay.local or self._underlay.public_ip,
                self._port,
                IPv4Address(int(self._config.ipv4.network.network_address)),
                own.subnet.ipv4,
                routes,
            ),
        )
        return Desired(pipes=(pipe,), guard=self._guard(own, usable), unusable=refused)

    def _guard(self, own: Lease, peers: Sequence[Lease]) -> AllowedPeers:
        return AllowedPeers(
            *(TYPE, "bare", (self._port,), self._underlay.interface, (DEVICE,)),
            own=(own.subnet.ipv4,),
            networks=self._config.networks,
            sources=peer_filter.sources(peers, self._config),
        )

    def _problem(self, own: Lease, peer: Lease) -> str:
        return peer_filter.problem(own, peer, self._config)


ENTRY = Entry(
    TYPE,
    build,
    derived,
    options,
    keys=("Port",),
    resources=resources,
    device_prefixes=(DEVICE,),
    forwarder=DEVICE,
    typed=False,
)
