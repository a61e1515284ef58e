"""Address ranges: which addresses a network may give out, checked before any is given.

The texts of errors are the reference's (docs/reference/cni.md 3.2): its tests, and tools of its users, compare them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from system.ip import IPAddress, IPInterface, IPNetwork


@dataclass(frozen=True, slots=True)
class Range:
    """The addresses of one subnet from `start` to `end`."""

    subnet: IPNetwork
    start: IPAddress  # included
    end: IPAddress  # included
    gateway: IPAddress  # never given out
    excluded: tuple[IPNetwork, ...] = ()  # never given out: networks of this family, sorted, without overlaps

    def __contains__(self, address: IPAddress) -> bool:
        return address.version == self.start.version and int(self.start) <= int(address) <= int(self.end)

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"

    def overlaps(self, other: Range) -> bool:
        """Return whether an address is in both. Ranges of different families never overlap."""
        return self.start in other or self.end in other or other.start in self

    def without(self, networks: Iterable[IPNetwork]) -> Range:
        """Return this range without the addresses in `networks`."""
        return replace(self, excluded=_merged([*self.excluded, *networks], self.start.version))

    def excludes(self, address: IPAddress) -> bool:
        """Return whether `address` is excluded."""
        return any(address in network for network in self.excluded)

    def offers(self, address: IPAddress) -> bool:
        """Return whether `address` may be given out."""
        return address in self and address != self.gateway and not self.excludes(address)

    def spans(self) -> Iterator[tuple[int, int]]:
        """Yield what may be given out as pairs of numbers, first and last, ascending. A set may have 2^64 addresses."""
        withheld = [(int(each[0]), int(each[-1])) for each in self.excluded]
        low, end = int(self.start), int(self.end)
        for first, last in sorted([*withheld, (int(self.gateway), int(self.gateway))]):
            if low < first:
                yield low, min(first - 1, end)
            low = max(low, last + 1)
            if low > end:
                return
        yield low, end

    @property
    def size(self) -> int:
        """Return how many addresses may be given out."""
        return sum(high - low + 1 for low, high in self.spans())


@dataclass(frozen=True, slots=True)
class RangeSet:
    """Ranges from which together one address is taken. Raises ValueError if they do not fit together."""

    ranges: tuple[Range, ...]

    def __post_init__(self) -> None:
        if not self.ranges:
            raise ValueError("empty range set")
        if any(each.start.version != self.version for each in self.ranges):
            raise ValueError("mixed address families")
        for index, one in enumerate(self.ranges):
            for other in self.ranges[index + 1 :]:
                if one.overlaps(other):
                    raise ValueError(f"subnets {one} and {other} overlap")

    def __contains__(self, address: IPAddress) -> bool:
        return self.range_for(address) is not None

    def __str__(self) -> str:
        return ",".join(map(str, self.ranges))

    @property
    def version(self) -> int:
        """The address family, 4 or 6."""
        return self.ranges[0].start.version

    def range_for(self, address: IPAddress) -> Range | None:
        """Return the range that contains `address`."""
        return next((each for each in self.ranges if address in each), None)

    def overlaps(self, other: RangeSet) -> bool:
        """Return whether an address is in both sets."""
        return any(one.overlaps(another) for one in self.ranges for another in other.ranges)


def _merged(networks: Sequence[IPNetwork], version: int) -> tuple[IPNetwork, ...]:
    """Return those of one family, sorted, without overlaps."""
    if version == 4:
        return tuple(collapse_addresses([each for each in networks if isinstance(each, IPv4Network)]))
    return tuple(collapse_addresses([each for each in networks if isinstance(each, IPv6Network)]))


@lru_cache(256)  # a worker of the agent reads the same configurations again and again
def canonical(
    subnet: IPInterface | None,
    start: IPAddress | None = None,
    end: IPAddress | None = None,
    gateway: IPAddress | None = None,
) -> Range:
    """Return the range with its defaults filled in, checked in the reference's order (docs/reference/cni.md 3.2).

    Defaults: start and gateway are the first address after the subnet's own; the end is the last one, for IPv4 before
    the broadcast address. A gateway may be outside. Raises ValueError with the reference's text.
    """
    if subnet is None:
        raise ValueError("IP <nil> not v4 nor v6")
    own = subnet.network
    if own.prefixlen > own.max_prefixlen - 2:
        raise ValueError(f"Network {subnet} too small to allocate from")
    if subnet.ip != own.network_address:
        raise ValueError(
            "Network has host bits set. For a subnet mask of length "
            f"{own.prefixlen} the network address is {own.network_address}"
        )
    if gateway is not None and gateway.version != own.version:
        raise ValueError(f"Gateway {gateway} is of another address family than network {own}")
    if start is not None and not (start in own and (end is None or int(start) <= int(end))):
        raise ValueError(f"RangeStart {start} not in network {own}")
    first = own[1] if start is None else start
    if end is not None and not (end in own and int(first) <= int(end)):
        raise ValueError(f"RangeEnd {end} not in network {own}")
    last = own[-2 if own.version == 4 else -1] if end is None else end
    return Range(own, first, last, own[1] if gateway is None else gateway)


def require_disjoint(sets: Sequence[RangeSet]) -> None:
    """Raise ValueError if an address is in two sets (docs/reference/cni.md 3.2, config rules)."""
    for index, one in enumerate(sets):
        for beyond, other in enumerate(sets[index + 1 :], start=index + 1):
            if one.overlaps(other):
                raise ValueError(f"range set {index} overlaps with {beyond}")
