"""How a host acquires its subnet and renews it, as a state machine: state and event give commands and the next state.

The normal course: `Started` gives `ListLeases`; `Listed` gives `Create` for a free subnet; `Acquired` gives `Publish`
and `SetTimer`; some hours later `TimerFired` gives `ListLeases` again, and `Listed` gives `Replace`, which renews the
lease.

It follows docs/reference/flannel.md 2.5 and 2.6 with three differences: a lost race is tried again, a renewal is a
compare-and-swap, and a subnet that went to another host is never taken back; it is withdrawn from the lease file before
anything else is done.

There is no I/O here, no clock and no source of randomness: listings, times and random numbers come in with the events.
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
"""Seconds until a failed renewal is tried again, always the same (docs/reference/flannel.md 2.6)."""
ACQUIRE_RETRY = 1.0
"""Seconds until a store that did not answer is asked again while there is no lease, or its attributes are out of date."""
RACE_BACKOFF, RACE_CEILING = 0.1, 5.0
"""Seconds after the first lost race, doubling up to the ceiling; jitter is added to both."""


@dataclass(frozen=True, slots=True)
class LeasePolicy:
    """What this host publishes with its lease; another one after the host got other addresses."""

    config: NetworkConfig
    """The network config."""
    public_ip: IPv4Address
    """The address by which a lease in the store is known as this host's."""
    attributes: Callable[[Subnet], Attributes]
    """Returns what this host publishes for a subnet."""
    margin: float = 3600.0
    """Seconds before the end of a lease at which it is renewed."""


@dataclass(frozen=True, slots=True)
class LeaseState:
    """Everything the next decision depends on."""

    policy: LeasePolicy
    """What is published, and when it is renewed."""
    held: Lease | None = None
    """The lease this host has and the lease file names; None while there is none."""
    previous: Subnet | None = None
    """The subnet of an earlier start, which is asked for first."""
    races: int = 0
    """How many races were lost in a row, at most 10."""


# Events: what happened.


@dataclass(frozen=True, slots=True)
class Started:
    """The daemon starts; also sent when it is not certain what the store has about our own subnet."""


@dataclass(frozen=True, slots=True)
class AddressChanged:
    """This host has other addresses; its lease must be written again, with them."""

    policy: LeasePolicy
    """What is published from now on."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The store listed its leases."""

    leases: Sequence[Lease]
    """All leases in the store, in key order."""
    random: float
    """Chooses among the free subnets: at least 0 and below 1."""


@dataclass(frozen=True, slots=True)
class Acquired:
    """A create or replace succeeded."""

    lease: Lease
    """The lease as the store has it now."""


@dataclass(frozen=True, slots=True)
class RaceLost:
    """A create, replace or remove was not carried out, because another host had changed the entry before."""

    random: float
    """Spreads the retries of several hosts: at least 0 and below 1."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The store could not answer."""

    reason: str
    """What the store, or the way to it, answered."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The store answered that this host may not have what it asked for."""

    reason: str
    """Why the store refused."""


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The time of the last SetTimer is over."""


@dataclass(frozen=True, slots=True)
class LeaseSeen:
    """The store told of a lease that was written."""

    lease: Lease
    """The lease as written, by this host or by another."""


@dataclass(frozen=True, slots=True)
class LeaseGone:
    """The store told that no host has this subnet any more."""

    subnet: Subnet
    """The subnet whose lease was deleted or has expired."""


Event = Started | AddressChanged | Listed | Acquired | RaceLost | Failed | Rejected | TimerFired | LeaseSeen | LeaseGone


# Commands: what to do, in the order of the tuple they come in.


@dataclass(frozen=True, slots=True)
class ListLeases:
    """List the store's leases; the result is Listed."""


@dataclass(frozen=True, slots=True)
class Create:
    """Create the lease if it is absent; the result is Acquired or RaceLost."""

    subnet: Subnet
    """The subnet to acquire."""
    attributes: Attributes
    """What is published with it."""


@dataclass(frozen=True, slots=True)
class Replace:
    """Write the lease again if it is unchanged in the store; the result is Acquired or RaceLost."""

    lease: Lease
    """The lease as it was read; the store must still have this version of it."""
    attributes: Attributes
    """What is published from now on."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete a lease of this host that the network config no longer allows; the result is Started or RaceLost."""

    lease: Lease
    """The lease as it was read; the store must still have this version of it."""


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Send TimerFired after `seconds`; a later SetTimer replaces an earlier one."""

    seconds: float
    """Time until `TimerFired`."""


@dataclass(frozen=True, slots=True)
class Publish:
    """This host has the subnet: program it, and write the lease file last."""

    lease: Lease
    """The lease this host has now."""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """This host no longer has the subnet: delete the lease file before anything else."""

    lease: Lease
    """The lease this host had."""
    reason: str
    """Why it has it no more, for the log."""


@dataclass(frozen=True, slots=True)
class ReportProblem:
    """Report why there is no lease."""

    reason: str
    """Why there is no lease, for the log and the health answer."""


Command = ListLeases | Create | Replace | Remove | SetTimer | Publish | Withdraw | ReportProblem
Step = tuple[LeaseState, tuple[Command, ...]]


def step(state: LeaseState, event: Event) -> Step:
    """Return the next state and the commands to carry out now, in order."""
    match event:
        case Started() | TimerFired():
            return state, (ListLeases(),)
        case AddressChanged(policy):
            return replace(state, policy=policy), (ListLeases(),)
        case Listed(leases, random):
            return choose_lease(state, leases, random)
        case Acquired(lease):
            return lease_acquired(state, lease)
        case RaceLost(random):
            # hosts that lost the same race would meet again if all of them waited equally long
            delay = min(RACE_CEILING, RACE_BACKOFF * 2.0**state.races) * (1.0 + random)
            return replace(state, races=min(state.races + 1, 10)), (SetTimer(delay),)
        case Failed(reason):
            return state, (ReportProblem(reason), SetTimer(retry_delay(state)))
        case Rejected(reason):
            freed, commands = _release(state, reason)
            return freed, (*commands, ReportProblem(reason), SetTimer(ACQUIRE_RETRY))
        case LeaseSeen(lease):
            return _observe(state, lease)
        case LeaseGone(subnet):
            # a person may have deleted our key: list, and acquire the subnet again while it is free
            gone = state.held is not None and state.held.subnet == subnet
            return state, ((ListLeases(),) if gone else ())


def choose_lease(state: LeaseState, leases: Sequence[Lease], random: float) -> Step:
    """Choose from a listing: the lease we have, else one with our address, else our earlier subnet, else a free one."""
    policy, held = state.policy, state.held
    mine = [one for one in leases if one.attributes.public_ip == policy.public_ip or _untouched(held, one)]
    # flannel knows a host's lease by its PublicIP alone (docs/reference/flannel.md 2.5)
    if not mine:
        return create_lease(state, [lease.subnet for lease in leases], random)
    known = held.subnet if held else state.previous
    lease = next((one for one in mine if one.subnet == known), mine[0])
    if not allocation.is_compatible(policy.config, lease.subnet):
        return state, (Remove(lease),)
    freed, commands = _release(state, "the store gives this host another subnet", unless=lease.subnet)
    return freed, (*commands, Replace(lease, policy.attributes(lease.subnet)))


def _untouched(held: Lease | None, listed: Lease) -> bool:
    """Return whether a listed lease is the one we have, exactly as we wrote it, even if our address has changed since.

    Another host that got our old address would take the lease for its own and write it. Then it has the lease, and the
    answer is no.
    """
    if held is None or listed.version > held.version:
        return False
    return (listed.subnet, listed.attributes) == (held.subnet, held.attributes)


def create_lease(state: LeaseState, taken: Sequence[Subnet], random: float) -> Step:
    """Ask the store for our earlier subnet while it is free, else for a free one chosen by `random` (0 up to 1)."""
    policy = state.policy
    had = state.held.subnet if state.held else state.previous
    if had and allocation.is_compatible(policy.config, had) and not any(had.overlaps(one) for one in taken):
        return state, (Create(had, policy.attributes(had)),)
    freed, commands = _release(state, "another host has taken the subnet")
    free = allocation.allocate(policy.config, taken, random)
    if free is None:
        reason = f"out of subnets: {policy.config.ipv4.network} is given away to {len(taken)} hosts"
        return freed, (*commands, ReportProblem(reason), SetTimer(RENEWAL_RETRY))
    return freed, (*commands, Create(free, policy.attributes(free)))


def lease_acquired(state: LeaseState, lease: Lease) -> Step:
    """Publish a lease this host has now, and set the timer for its renewal."""
    after = replace(state, held=lease, previous=lease.subnet, races=0)
    if lease.ttl is None:
        return after, (Publish(lease),)
    # half the time of a lease that is shorter than the margin: the timer must not fire at once, again and again
    return after, (Publish(lease), SetTimer(max(lease.ttl - state.policy.margin, lease.ttl / 2)))


def _release(state: LeaseState, reason: str, *, unless: Subnet | None = None) -> Step:
    """Forget the lease we have and withdraw it, unless it is for the subnet `unless`, which is acquired again at once."""
    if state.held is None or state.held.subnet == unless:
        return state, ()
    return replace(state, held=None, previous=None), (Withdraw(state.held, reason),)


def _observe(state: LeaseState, seen: Lease) -> Step:
    """Compare a written lease with ours: take the version of our own writing, list again for any other about us."""
    held = state.held
    if held is None or seen == held:
        return state, ()
    # while our address changes, an entry with the old one may be another host's already
    settled = held.attributes.public_ip == state.policy.public_ip
    if settled and (seen.subnet, seen.attributes) == (held.subnet, held.attributes):
        return replace(state, held=replace(seen, ttl=held.ttl)), ()
    about_us = seen.subnet == held.subnet or seen.attributes.public_ip == state.policy.public_ip
    return state, ((ListLeases(),) if about_us else ())


def retry_delay(state: LeaseState) -> float:
    """Return the seconds until the store is asked again after a refusal or without an answer."""
    held = state.held
    if held is None or held.attributes != state.policy.attributes(held.subnet):
        return ACQUIRE_RETRY  # containers cannot start, or peers still send to our old address
    return RENEWAL_RETRY if held.ttl is None else min(RENEWAL_RETRY, held.ttl / 10)
