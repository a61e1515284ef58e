"""Subnets of hosts: their key in a store, and the choice of a free one.

The key text is flannel's, byte for byte (docs/reference/flannel.md 2.1); the choice is its allocation (2.5 step 4):
walk the pool, keep what overlaps nobody, stop at a hundred candidates, take one at random.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import islice

from overlay.config.network import NetworkConfig, Pool

CANDIDATES = 100

# Peers search with this shape, open at the left and closed at the very end; \Z because $ tolerates a final newline.
_KEY = re.compile(r"([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+)-([0-9]{1,3})(?:&([a-f0-9:.]+)-([0-9]{1,3}))?\Z")


@dataclass(frozen=True, slots=True)
class Subnet:
    """What one host owns: an IPv4 subnet and, in a dual-stack network, an IPv6 one."""

    ipv4: IPv4Network
    ipv6: IPv6Network | None = None

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
    """Read a subnet key; raises ValueError for whatever flannel's parser would not take, or a key with host bits."""
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
    """Return whether this network would give out `subnet`: the families match, and so do length and bounds (2.5)."""
    if not config.ipv4.offers(subnet.ipv4) or (config.ipv6 is None) != (subnet.ipv6 is None):
        return False
    return config.ipv6 is None or subnet.ipv6 is None or config.ipv6.offers(subnet.ipv6)


def allocate(config: NetworkConfig, taken: Iterable[Subnet], dice: float) -> Subnet | None:
    """Choose a free subnet with `dice` in [0, 1); None when the network has none left. Families are chosen apart."""
    held = tuple(taken)
    ipv4 = _allocate(config.ipv4, [one.ipv4 for one in held], dice)
    if not isinstance(ipv4, IPv4Network):
        return None
    if config.ipv6 is None:
        return Subnet(ipv4)
    ipv6 = _allocate(config.ipv6, [one.ipv6 for one in held if one.ipv6], dice)
    return Subnet(ipv4, ipv6) if isinstance(ipv6, IPv6Network) else None


def free(pool: Pool, taken: Iterable[IPv4Network | IPv6Network]) -> Iterator[int]:
    """Walk the base addresses of the pool's free subnets upwards, in one pass over the taken ones."""
    base = pool.first
    for start, end in sorted((int(one.network_address), int(one.broadcast_address)) for one in taken):
        while base <= pool.last and base + pool.step <= start:
            yield base
            base += pool.step
        if end >= base:
            base = _next_boundary(end, pool.step)
    while base <= pool.last:
        yield base
        base += pool.step


def _allocate(pool: Pool, taken: Iterable[IPv4Network | IPv6Network], dice: float) -> IPv4Network | IPv6Network | None:
    candidates = list(islice(free(pool, taken), CANDIDATES))
    if not candidates:
        return None
    base = candidates[int(dice * len(candidates))]
    return type(pool.network)((base, pool.length))


def _next_boundary(address: int, step: int) -> int:
    return (address // step + 1) * step


def _half(network: IPv4Network | IPv6Network) -> str:
    return f"{_go_text(network)}-{network.prefixlen}"


def _go_text(network: IPv4Network | IPv6Network) -> str:
    """Write the base address as Go does: an IPv4-mapped IPv6 address as a.b.c.d."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    return str(mapped or network.network_address)
