"""Subnets of hosts: their key in a store, and the choice of a free one.

The key is flannel's, byte for byte (docs/reference/flannel.md 2.1). The choice is its allocation (2.5 step 4): walk the
pool upwards, keep the subnets that overlap no taken one, stop at a hundred candidates, and take one of them at random.
The random number is an argument, so the same arguments always give the same subnet.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import islice

from overlay.config.network import NetworkConfig, Pool

CANDIDATES = 100
"""How many free subnets one is chosen from (docs/reference/flannel.md 2.5 step 4)."""

# Peers search with this shape, open at the left and closed at the very end; \Z because $ tolerates a final newline.
_KEY = re.compile(r"([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+)-([0-9]{1,3})(?:&([a-f0-9:.]+)-([0-9]{1,3}))?\Z")


@dataclass(frozen=True, slots=True)
class Subnet:
    """The subnet of one host: IPv4 and, in a dual-stack network, IPv6."""

    ipv4: IPv4Network
    """The IPv4 subnet, without host bits."""
    ipv6: IPv6Network | None = None
    """The IPv6 subnet, without host bits; None in a network without IPv6."""

    @property
    def key(self) -> str:
        """The key text, `10.5.9.0-24` or `10.5.9.0-24&fd00:12:13::-56`."""
        text = _half(self.ipv4)
        return f"{text}&{_half(self.ipv6)}" if self.ipv6 else text

    @property
    def networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The subnets of all families, IPv4 first."""
        return (self.ipv4, self.ipv6) if self.ipv6 else (self.ipv4,)

    def overlaps(self, other: "Subnet") -> bool:
        """Return whether any address belongs to both."""
        both_v6 = self.ipv6 is not None and other.ipv6 is not None and self.ipv6.overlaps(other.ipv6)
        return self.ipv4.overlaps(other.ipv4) or both_v6

    def __str__(self) -> str:
        return ", ".join(str(network) for network in self.networks)


def parse_key(key: str) -> Subnet:
    """Read a subnet key; raises ValueError for what flannel's parser would not take, and for a key with host bits."""
    found = _KEY.fullmatch(key)
    if not found:
        raise ValueError(f"{key[:80]!r} is no subnet key like 10.5.9.0-24")
    ipv4 = ip_network(f"{found[1]}/{found[2]}")
    ipv6 = ip_network(f"{found[3]}/{found[4]}") if found[3] else None
    if not isinstance(ipv4, IPv4Network) or ipv4.prefixlen > 31:
        raise ValueError(f"{key[:80]!r}: an IPv4 prefix in a key is 0 to 31")
    if ipv6 is not None and (not isinstance(ipv6, IPv6Network) or ipv6.prefixlen > 127):
        raise ValueError(f"{key[:80]!r}: an IPv6 prefix in a key is 0 to 127")
    return Subnet(ipv4, ipv6)


def is_compatible(config: NetworkConfig, subnet: Subnet) -> bool:
    """Return whether the network config allows `subnet`: families, length and bounds (docs/reference/flannel.md 2.5)."""
    if not config.ipv4.offers(subnet.ipv4) or (config.ipv6 is None) != (subnet.ipv6 is None):
        return False
    return config.ipv6 is None or subnet.ipv6 is None or config.ipv6.offers(subnet.ipv6)


def allocate(config: NetworkConfig, taken: Iterable[Subnet], random: float) -> Subnet | None:
    """Return a free subnet, chosen by `random` (0 up to 1), each family by itself; None when there is none left."""
    held = tuple(taken)
    ipv4 = _allocate(config.ipv4, [one.ipv4 for one in held], random)
    if not isinstance(ipv4, IPv4Network):
        return None
    if config.ipv6 is None:
        return Subnet(ipv4)
    ipv6 = _allocate(config.ipv6, [one.ipv6 for one in held if one.ipv6], random)
    return Subnet(ipv4, ipv6) if isinstance(ipv6, IPv6Network) else None


def free(pool: Pool, taken: Iterable[IPv4Network | IPv6Network]) -> Iterator[int]:
    """Yield the base addresses of the pool's free subnets, lowest first, in one pass over the taken ones."""
    base = pool.first
    for start, end in sorted((int(one.network_address), int(one.broadcast_address)) for one in taken):
        while base <= pool.last and base + pool.step <= start:
            yield base
            base += pool.step
        if end >= base:  # a taken subnet may be longer or shorter than ours: go on at our next boundary
            base = _next_boundary(end, pool.step)
    while base <= pool.last:
        yield base
        base += pool.step


def _allocate(
    pool: Pool, taken: Iterable[IPv4Network | IPv6Network], random: float
) -> IPv4Network | IPv6Network | None:
    candidates = list(islice(free(pool, taken), CANDIDATES))
    if not candidates:
        return None
    base = candidates[int(random * len(candidates))]
    return type(pool.network)((base, pool.length))


def _next_boundary(address: int, step: int) -> int:
    return (address // step + 1) * step


def _half(network: IPv4Network | IPv6Network) -> str:
    return f"{_go_text(network)}-{network.prefixlen}"


def _go_text(network: IPv4Network | IPv6Network) -> str:
    """Write the base address as Go does: an IPv4-mapped IPv6 address as a.b.c.d."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    return str(mapped or network.network_address)
