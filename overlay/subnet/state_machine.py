"""How a host comes to its subnet and keeps it: a state machine that is told what happened and answers what to do.

Follows docs/reference/flannel.md 2.5 and 2.6 with its better items: a lost race is retried, renewal is a compare-and-swap, and
a subnet that went to another host is never taken back but withdrawn from the lease file before anything else.
Does no I/O, reads no clock and throws no dice: listings, times and chances come in with the events.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from overlay.config.network import NetworkConfig
from overlay.subnet import allocation
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease

RENEWAL_RETRY = 60.0
"""Seconds until a failed renewal is tried again, flat (docs/reference/flannel.md 2.6)."""
ACQUIRE_RETRY = 1.0
"""Seconds until a store that did not answer is asked again while we hold nothing, or what we hold is out of date."""
RACE_BACKOFF, RACE_CEILING = 0.1, 5.0
"""Seconds after the first lost race, doubling up to the ceiling; jitter is added to both."""


@dataclass(frozen=True, slots=True)
class LeasePolicy:
    """What was agreed when the daemon started, and again when its host got other addresses."""

    config: NetworkConfig
    public_ip: IPv4Address
    attributes: Callable[[Subnet], Attributes]
    margin: float = 3600.0
    """Seconds before the end of a lease at which it is renewed."""


@dataclass(frozen=True, slots=True)
class LeaseState:
    """The state: what we hold (and the lease file says), what we remember from before, races lost in a row."""

    terms: LeasePolicy
    held: Lease | None = None
    previous: Subnet | None = None
    races: int = 0


# What happened.


@dataclass(frozen=True, slots=True)
class Started:
    """The daemon begins; also said when the store's view of our own subnet is in doubt."""


@dataclass(frozen=True, slots=True)
class AddressChanged:
    """This host has other addresses; what it holds is to be published anew, with them."""

    terms: LeasePolicy


@dataclass(frozen=True, slots=True)
class Listed:
    """The store's leases in key order; `dice` in [0, 1) chooses among free subnets."""

    leases: Sequence[Lease]
    dice: float


@dataclass(frozen=True, slots=True)
class Acquired:
    """A create or replace succeeded."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class RaceLost:
    """A create, replace or remove found that somebody else had been faster; `dice` in [0, 1) spreads the retries."""

    dice: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The store could not answer."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The store answered that this host must not have what it asked for."""

    reason: str


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The time last asked for with Sleep is over."""


@dataclass(frozen=True, slots=True)
class LeaseSeen:
    """The watch saw a lease being written."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class LeaseGone:
    """The watch saw that a subnet is nobody's any more."""

    subnet: Subnet


Event = Started | AddressChanged | Listed | Acquired | RaceLost | Failed | Rejected | TimerFired | LeaseSeen | LeaseGone


# What to do about it, in this order.


@dataclass(frozen=True, slots=True)
class ListLeases:
    """List the store's leases; answer with Listed."""


@dataclass(frozen=True, slots=True)
class Create:
    """Create the lease if it is absent; answer with Claimed or Lost."""

    subnet: Subnet
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Replace:
    """Write the lease anew if it is unchanged; answer with Claimed or Lost."""

    lease: Lease
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete a lease of ours that the network would not give out any more; answer with Started or Lost."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Say Woke after `seconds`; a later Sleep supersedes an earlier one."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Publish:
    """The subnet is ours: program it, and write the lease file last."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The subnet is ours no more: take the lease file away before anything else."""

    lease: Lease
    reason: str


@dataclass(frozen=True, slots=True)
class ReportProblem:
    """Tell people why there is no lease."""

    reason: str


Command = ListLeases | Create | Replace | Remove | SetTimer | Publish | Withdraw | ReportProblem
Step = tuple[LeaseState, tuple[Command, ...]]


def step(state: LeaseState, event: Event) -> Step:
    """Return the next state and what to do now."""
    match event:
        case Started() | TimerFired():
            return state, (ListLeases(),)
        case AddressChanged(terms):
            return replace(state, terms=terms), (ListLeases(),)
        case Listed(leases, dice):
            return choose_lease(state, leases, dice)
        case Acquired(lease):
            return lease_acquired(state, lease)
        case RaceLost(dice):
            delay = min(RACE_CEILING, RACE_BACKOFF * 2.0**state.races) * (1.0 + dice)
            return replace(state, races=min(state.races + 1, 10)), (SetTimer(delay),)
        case Failed(reason):
            return state, (ReportProblem(reason), SetTimer(retry_delay(state)))
        case Rejected(reason):
            freed, commands = _release(state, reason)
            return freed, (*commands, ReportProblem(reason), SetTimer(ACQUIRE_RETRY))
        case LeaseSeen(lease):
            return _observe(state, lease)
        case LeaseGone(subnet):
            gone = state.held is not None and state.held.subnet == subnet
            return state, ((ListLeases(),) if gone else ())


def choose_lease(state: LeaseState, leases: Sequence[Lease], dice: float) -> Step:
    """Choose from a listing: what we hold, else what the store says is ours, else what we had, else a free subnet."""
    terms, held = state.terms, state.held
    mine = [one for one in leases if one.attributes.public_ip == terms.public_ip or _untouched(held, one)]
    if not mine:
        return create_lease(state, [lease.subnet for lease in leases], dice)
    known = held.subnet if held else state.previous
    lease = next((one for one in mine if one.subnet == known), mine[0])
    if not allocation.is_compatible(terms.config, lease.subnet):
        return state, (Remove(lease),)
    freed, commands = _release(state, "the store gives this host another subnet", unless=lease.subnet)
    return freed, (*commands, Replace(lease, terms.attributes(lease.subnet)))


def _untouched(held: Lease | None, listed: Lease) -> bool:
    """Return whether a listed lease is what we hold, as we wrote it, though our address has changed since.

    A host that got our old address would take the lease for its own and write it: then it is, and this says no.
    """
    if held is None or listed.version > held.version:
        return False
    return (listed.subnet, listed.attributes) == (held.subnet, held.attributes)


def create_lease(state: LeaseState, taken: Sequence[Subnet], random: float) -> Step:
    """Ask the store for the subnet we had, when it is still to be had, or for a free one chosen by `random` (0 up to 1)."""
    terms = state.terms
    had = state.held.subnet if state.held else state.previous
    if had and allocation.is_compatible(terms.config, had) and not any(had.overlaps(one) for one in taken):
        return state, (Create(had, terms.attributes(had)),)
    freed, commands = _release(state, "another host has taken the subnet")
    free = allocation.allocate(terms.config, taken, random)
    if free is None:
        reason = f"out of subnets: {terms.config.ipv4.network} is given away to {len(taken)} hosts"
        return freed, (*commands, ReportProblem(reason), SetTimer(RENEWAL_RETRY))
    return freed, (*commands, Create(free, terms.attributes(free)))


def lease_acquired(state: LeaseState, lease: Lease) -> Step:
    """Publish a lease that is ours now, and set the timer of its renewal."""
    after = replace(state, held=lease, previous=lease.subnet, races=0)
    if lease.ttl is None:
        return after, (Publish(lease),)
    return after, (Publish(lease), SetTimer(max(lease.ttl - state.terms.margin, lease.ttl / 2)))


def _release(state: LeaseState, reason: str, *, unless: Subnet | None = None) -> Step:
    """Forget what we hold, and say so, unless it is the subnet we are about to claim again."""
    if state.held is None or state.held.subnet == unless:
        return state, ()
    return replace(state, held=None, previous=None), (Withdraw(state.held, reason),)


def _observe(state: LeaseState, seen: Lease) -> Step:
    """Judge a written lease: our own words are adopted with their version, other words about us are looked into."""
    held = state.held
    if held is None or seen == held:
        return state, ()
    settled = held.attributes.public_ip == state.terms.public_ip
    if settled and (seen.subnet, seen.attributes) == (held.subnet, held.attributes):
        return replace(state, held=replace(seen, ttl=held.ttl)), ()
    about_us = seen.subnet == held.subnet or seen.attributes.public_ip == state.terms.public_ip
    return state, ((ListLeases(),) if about_us else ())


def retry_delay(state: LeaseState) -> float:
    """Return the seconds until what the store refused or did not answer is tried again."""
    held = state.held
    if held is None or held.attributes != state.terms.attributes(held.subnet):
        return ACQUIRE_RETRY
    return RENEWAL_RETRY if held.ttl is None else min(RENEWAL_RETRY, held.ttl / 10)
