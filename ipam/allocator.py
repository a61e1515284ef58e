"""Decides which address an attachment gets, in the reference's order and with its errors (docs/reference/cni.md 3.3).

It works on a store whose lock is held from the first look to the last reservation.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from itertools import chain, islice

from cni.errors import CniError, Code
from ipam import claims

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from ipam.claims import Claim, Reservation
    from ipam.ranges import Range, RangeSet
    from ipam.store import Store
    from system.ip import IPAddress


TRIES = 256
"""How many candidates are tried before everything is read at once. Mostly the first one is free."""


@dataclass(frozen=True, slots=True)
class Allotment:
    """An address that was given."""

    address: IPAddress
    source: Range  # with its prefix length and gateway


def allocate(
    sets: Sequence[RangeSet], requested: Sequence[IPAddress], store: Store, claim: Claim
) -> tuple[Allotment, ...]:
    """Reserve one address per set for `claim`, or none at all.

    A requested address is taken from the set that contains it.

    Raises CniError 101 when there is no free address, 103 when the attachment already has one, 7 for a request that no
    set can fulfil. After an error exactly the reservations of this call are removed.
    """
    present = store.claimed(claim)
    pending = list(dict.fromkeys(requested))
    allotted: list[Allotment] = []
    with contextlib.ExitStack() as undo:
        for index, range_set in enumerate(sets):
            wanted = next((address for address in pending if address in range_set), None)
            try:
                reservation, allotment = _allot(range_set, wanted, store.last(index), store, claim, present)
            except CniError as refusal:
                raise CniError(
                    refusal.code, f"failed to allocate for range {index}: {refusal.msg}", refusal.remedy
                ) from None
            undo.callback(store.release, reservation)
            allotted.append(allotment)
            if wanted is not None:
                pending.remove(wanted)
        if pending:
            raise _unmet(pending, sets)
        undo.pop_all()
    # The cursors move only after every set has given an address, so that a refused ADD changes nothing.
    for index, allotment in enumerate(allotted):
        store.remember(index, allotment.address)
    return tuple(allotted)


def candidates(range_set: RangeSet, last: IPAddress | None = None) -> Iterator[Allotment]:
    """Yield every address of the set once, in the order to try them: round robin, beginning after `last`.

    If `last` is outside the set it is ignored; otherwise it is the final one. Gateways and excluded addresses are left
    out.
    """
    current = None if last is None else range_set.range_for(last)
    if current is None or last is None:
        return chain.from_iterable(_span(each, int(each.start), int(each.end)) for each in range_set.ranges)
    place = range_set.ranges.index(current)
    others = range_set.ranges[place + 1 :] + range_set.ranges[:place]
    return chain(
        _span(current, int(last) + 1, int(current.end)),
        chain.from_iterable(_span(each, int(each.start), int(each.end)) for each in others),
        _span(current, int(current.start), int(last)),
    )


def free(range_set: RangeSet, taken: Collection[IPAddress]) -> int:
    """Return how many addresses of the set are free. They are counted, not tried: a set may have 2^64."""
    sources = ((address, range_set.range_for(address)) for address in taken)
    used = sum(source is not None and source.offers(address) for address, source in sources)
    return sum(each.size for each in range_set.ranges) - used


def _span(source: Range, low: int, high: int) -> Iterator[Allotment]:
    kind = type(source.start)
    stretches = (range(max(first, low), min(last, high) + 1) for first, last in source.spans())
    return (Allotment(kind(number), source) for number in chain.from_iterable(stretches))


def _allot(
    range_set: RangeSet,
    wanted: IPAddress | None,
    last: IPAddress | None,
    store: Store,
    claim: Claim,
    present: Collection[Reservation],
) -> tuple[Reservation, Allotment]:
    if wanted is not None:
        return _take(range_set, wanted, store, claim)
    _refuse_duplicate(range_set, claim, present)
    for allotment in _promising(range_set, last, store):
        if reservation := store.reserve(allotment.address, claim):
            return reservation, allotment
    raise CniError(
        Code.NO_ADDRESS,
        f"no IP addresses available in range set: {range_set}",
        f"every address has a holder, named in the files of {store.location}: remove containers or widen the range",
    )


def _promising(range_set: RangeSet, last: IPAddress | None, store: Store) -> Iterator[Allotment]:
    """Yield candidates. After many that are taken, read the store once and yield only free ones."""
    order = candidates(range_set, last)
    yield from islice(order, TRIES)
    used = claims.taken(store.reservations())
    yield from (each for each in order if each.address not in used)


def _take(range_set: RangeSet, wanted: IPAddress, store: Store, claim: Claim) -> tuple[Reservation, Allotment]:
    """Reserve exactly `wanted`. As in the reference, it may be the second address of an attachment."""
    source = range_set.range_for(wanted)
    if source is None:
        raise CniError(Code.INVALID_CONFIG, f"{wanted} not in range set {range_set}", "request an address of the range")
    if wanted == source.gateway:
        raise CniError(Code.INVALID_CONFIG, f"requested ip {wanted} is subnet's gateway", "request another address")
    if source.excludes(wanted):
        raise CniError(
            Code.INVALID_CONFIG,
            f"requested ip {wanted} is excluded",
            'request another address, or take this one out of "ipam.exclude"',
        )
    reservation = store.reserve(wanted, claim)
    if reservation is None:
        raise CniError(
            Code.NO_ADDRESS,
            f"requested IP address {wanted} is not available in range set {range_set}",
            f"its holder is named in the file {store.location}/{wanted}",
        )
    return reservation, Allotment(wanted, source)


def _refuse_duplicate(range_set: RangeSet, claim: Claim, present: Collection[Reservation]) -> None:
    for address in claims.duplicates(present, claim):
        if address in range_set:
            raise CniError(
                Code.CONFLICT,
                f"{address} has been allocated to {claim.container_id}, duplicate allocation is not allowed",
                f"{claim.ifname} of this container was added before: DEL it first",
            )


def _unmet(pending: Sequence[IPAddress], sets: Sequence[RangeSet]) -> CniError:
    return CniError(
        Code.INVALID_CONFIG,
        f"failed to allocate all requested IPs: {' '.join(map(str, pending))}",
        f"choose an address in {' and one in '.join(map(str, sets))}, but not the gateway's",
    )
