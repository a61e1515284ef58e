"""Which leases of other hosts may be programmed at all, with any backend: none that could harm this host.

Many hosts write to a store. What one of them publishes must not take our own subnet away, or send packets to an address
that is no host's.
"""

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address

from overlay.config.network import NetworkConfig
from overlay.subnet.lease import Lease
from system.ip import IPAddress, IPNetwork

Judge = Callable[[Lease], str]


def problem(own: Lease, peer: Lease, config: NetworkConfig) -> str:
    """Return why a lease cannot be programmed without harm to this host; empty when it can."""
    public = peer.attributes.public_ip
    if peer.subnet.overlaps(own.subnet):
        return f"overlaps this host's own {own.subnet}"
    if public == own.attributes.public_ip:
        return "its PublicIP is this host's own"
    if not _reachable(public):
        return f"its PublicIP {public} is no host's address"
    if not within(peer.subnet.ipv4, config.ipv4.network):
        return f"outside {config.ipv4.network}"
    return ""


def divide(peers: Sequence[Lease], judge: Judge) -> tuple[list[Lease], tuple[str, ...]]:
    """Part the leases `judge` has nothing against from the others, which come with their reason."""
    usable, refused = [], []
    for peer in peers:
        reason = judge(peer)
        if reason:
            refused.append(f"{peer.subnet}: {reason}")
        else:
            usable.append(peer)
    return usable, tuple(refused)


def sources(peers: Sequence[Lease], config: NetworkConfig) -> frozenset[tuple[IPAddress, IPNetwork]]:
    """Return from which address the packets of each peer's subnets come, a family each."""
    return frozenset(
        (public, subnet)
        for peer in peers
        for public, subnet, network in zip(
            (peer.attributes.public_ip, peer.attributes.public_ipv6),
            peer.subnet.networks,
            config.networks,
            strict=False,
        )
        if public is not None and within(subnet, network)
    )


def within(inner: IPNetwork, outer: IPNetwork) -> bool:
    """Return whether a subnet lies in a network of its own family."""
    return inner.version == outer.version and inner.prefixlen >= outer.prefixlen and inner.network_address in outer


def _reachable(address: IPv4Address) -> bool:
    return not (address.is_multicast or address.is_loopback or address.is_unspecified or address.is_reserved)
