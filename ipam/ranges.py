"""The algebra of address ranges: which addresses a network may give out, checked before anything is given.

Literal texts are the reference's (docs/reference/cni.md 3.2): its suites and its users' tools compare them.
Must not know JSON, files or who holds an address.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cni.types import IPAddress, IPInterface, IPNetwork


@dataclass(frozen=True, slots=True)
class Range:
    """The addresses from `start` to `end`, both included, of one subnet.

    `gateway` is never given out, nor is what lies in `excluded`: networks of this family, ascending and disjoint.
    """

    subnet: IPNetwork
    start: IPAddress
    end: IPAddress
    gateway: IPAddress
    excluded: tuple[IPNetwork, ...] = ()

    def __contains__(self, address: IPAddress) -> bool:
        return address.version == self.start.version and int(self.start) <= int(address) <= int(self.end)

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"

    def overlaps(self, other: Range) -> bool:
        """Tell whether some address is in both; ranges of different families never overlap."""
        return self.start in other or self.end in other or other.start in self

    def without(self, networks: Iterable[IPNetwork]) -> Range:
        """Return this range with what it has in common with `networks` never given out."""
        return replace(self, excluded=_merged([*self.excluded, *networks], self.start.version))

    def excludes(self, address: IPAddress) -> bool:
        """Tell whether `address` is one of those taken out."""
        return any(address in network for network in self.excluded)

    def offers(self, address: IPAddress) -> bool:
        """Tell whether `address` may be given out."""
        return address in self and address != self.gateway and not self.excludes(address)

    def spans(self) -> Iterator[tuple[int, int]]:
        """Yield what may be given out as stretches of numbers, ascending, both ends included; a set may have 2^64."""
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
        """How many addresses may be given out."""
        return sum(high - low + 1 for low, high in self.spans())


@dataclass(frozen=True, slots=True)
class RangeSet:
    """A pool one address is taken from; construction raises ValueError when its ranges do not go together."""

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
        """Return the range `address` lies in."""
        return next((each for each in self.ranges if address in each), None)

    def overlaps(self, other: RangeSet) -> bool:
        """Tell whether some address is in both sets."""
        return any(one.overlaps(another) for one in self.ranges for another in other.ranges)


def _merged(networks: Sequence[IPNetwork], version: int) -> tuple[IPNetwork, ...]:
    """Return those of one family, ascending and disjoint."""
    if version == 4:
        return tuple(collapse_addresses([each for each in networks if isinstance(each, IPv4Network)]))
    return tuple(collapse_addresses([each for each in networks if isinstance(each, IPv6Network)]))


@lru_cache(256)  # a warm worker reads the same configurations again and again
def canonical(
    subnet: IPInterface | None,
    start: IPAddress | None = None,
    end: IPAddress | None = None,
    gateway: IPAddress | None = None,
) -> Range:
    """Fill in what a range leaves out and check it, in the reference's order (docs/reference/cni.md 3.2).

    Defaults: gateway and start are the subnet's first address after its own; the end is the last one, for IPv4 before the
    broadcast address. A gateway may lie outside. Raises ValueError with the reference's words.
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
    """Raise ValueError when an address could be taken from two sets (docs/reference/cni.md 3.2, config rules)."""
    for index, one in enumerate(sets):
        for beyond, other in enumerate(sets[index + 1 :], start=index + 1):
            if one.overlaps(other):
                raise ValueError(f"range set {index} overlaps with {beyond}")
