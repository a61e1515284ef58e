"""Claims, as scripts of events and commands: re-use by PublicIP, then by the old lease file, then a free pick; what the
network no longer offers is removed; a lost race is retried later and later; renewal in time, flat retries; a subnet lost
to another host is withdrawn before another is taken; a host whose address changed keeps its subnet unless somebody has written it; a vanished one is taken back while it is free; our own words seen
again are adopted, not answered.
"""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlay.config import network
from overlay.subnet import state_machine
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease
from overlay.subnet.state_machine import (
    Acquired,
    AddressChanged,
    Command,
    Create,
    Event,
    Failed,
    LeaseGone,
    LeasePolicy,
    LeaseSeen,
    LeaseState,
    Listed,
    ListLeases,
    Publish,
    RaceLost,
    Rejected,
    Remove,
    Replace,
    ReportProblem,
    SetTimer,
    Started,
    TimerFired,
    Withdraw,
)

ME, OTHER = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
CONFIG = network.parse('{"Network": "10.9.0.0/24", "Backend": {"Type": "vxlan"}}', "x")  # /26: .64, .128, .192


def subnet(last: int, length: int = 26) -> Subnet:
    return Subnet(IPv4Network(f"10.9.0.{last}/{length}"))


def mine(held: Subnet) -> Attributes:
    return Attributes(ME, None, "vxlan", f'"{held.key}"')


def lease(last: int, owner: IPv4Address = ME, *, version: int = 1, ttl: float | None = 86_400.0) -> Lease:
    held = subnet(last)
    return Lease(held, mine(held) if owner == ME else Attributes(owner), version, ttl)


FRESH = LeaseState(LeasePolicy(CONFIG, ME, mine))


def play(state: LeaseState, *events: Event) -> tuple[LeaseState, tuple[Command, ...]]:
    commands: tuple[Command, ...] = ()
    for event in events:
        state, commands = state_machine.step(state, event)
    return state, commands


HOLDING, _ = play(FRESH, Acquired(lease(64)))


@pytest.mark.parametrize("event", [Started(), TimerFired()])
def test_every_beginning_is_a_listing(event: Event) -> None:
    assert play(FRESH, event)[1] == (ListLeases(),)


def test_a_lease_with_our_address_is_used_again() -> None:
    _, commands = play(FRESH, Listed([lease(64, OTHER), lease(128)], 0.0))
    assert commands == (Replace(lease(128), mine(subnet(128))),)


def test_the_subnet_of_the_old_lease_file_comes_next() -> None:
    state = LeaseState(FRESH.policy, previous=subnet(192))
    assert play(state, Listed([lease(64, OTHER)], 0.0))[1] == (Create(subnet(192), mine(subnet(192))),)


@pytest.mark.parametrize("previous", [subnet(64), subnet(192, 27), Subnet(IPv4Network("10.8.0.0/26"))])
def test_an_old_subnet_that_is_taken_or_not_offered_is_forgotten(previous: Subnet) -> None:
    state = LeaseState(FRESH.policy, previous=previous)
    assert play(state, Listed([lease(64, OTHER)], 0.0))[1] == (Create(subnet(128), mine(subnet(128))),)


def test_a_free_subnet_is_picked_by_the_dice() -> None:
    assert play(FRESH, Listed([], 0.99))[1] == (Create(subnet(192), mine(subnet(192))),)


def test_a_lease_of_ours_that_is_not_offered_is_removed() -> None:
    old = Lease(subnet(0, 27), mine(subnet(0, 27)))
    assert play(FRESH, Listed([old], 0.0))[1] == (Remove(old),)


def test_a_full_network_is_complained_about_and_tried_again() -> None:
    full = [lease(last, OTHER) for last in (64, 128, 192)]
    _, commands = play(FRESH, Listed(full, 0.0))
    assert commands[0] == ReportProblem("out of subnets: 10.9.0.0/24 is given away to 3 hosts")
    assert isinstance(commands[1], SetTimer)


def test_a_granted_lease_is_published_and_renewed_an_hour_before_its_end() -> None:
    assert play(FRESH, Acquired(lease(64)))[1] == (Publish(lease(64)), SetTimer(82_800.0))


def test_a_short_lease_is_renewed_half_way() -> None:
    assert play(FRESH, Acquired(lease(64, ttl=3.0)))[1][1] == SetTimer(1.5)


def test_an_endless_lease_is_never_renewed() -> None:
    assert play(FRESH, Acquired(lease(64, ttl=None)))[1] == (Publish(lease(64)),)


def test_a_lost_race_is_tried_again_later_and_later_with_jitter() -> None:
    state, delays = FRESH, []
    for _ in range(8):
        state, (sleep,) = play(state, RaceLost(0.5))
        assert isinstance(sleep, SetTimer)
        delays.append(sleep.seconds)
    assert delays == pytest.approx([0.15, 0.3, 0.6, 1.2, 2.4, 4.8, 7.5, 7.5])


def test_a_grant_forgets_lost_races() -> None:
    assert play(FRESH, RaceLost(0.0), Acquired(lease(64)), RaceLost(0.0))[1] == (SetTimer(0.1),)


def test_a_store_that_fails_is_asked_again_after_a_second_and_when_renewing_after_a_minute() -> None:
    assert play(FRESH, Failed("down"))[1] == (ReportProblem("down"), SetTimer(1.0))
    assert play(HOLDING, Failed("down"))[1] == (ReportProblem("down"), SetTimer(60.0))


def test_renewal_replaces_what_the_store_has() -> None:
    assert play(HOLDING, Listed([lease(64, version=5)], 0.0))[1] == (Replace(lease(64, version=5), mine(subnet(64))),)


def test_our_subnet_in_other_hands_is_withdrawn_before_another_is_taken() -> None:
    state, commands = play(HOLDING, Listed([lease(64, OTHER)], 0.0))
    assert commands == (
        Withdraw(lease(64), "another host has taken the subnet"),
        Create(subnet(128), mine(subnet(128))),
    )
    assert state.held is None


def test_another_subnet_for_our_address_is_taken_after_withdrawing_ours() -> None:
    _, commands = play(HOLDING, Listed([lease(128)], 0.0))
    assert commands == (
        Withdraw(lease(64), "the store gives this host another subnet"),
        Replace(lease(128), mine(subnet(128))),
    )


def test_a_vanished_lease_is_taken_back_while_it_is_free() -> None:
    assert play(HOLDING, LeaseGone(subnet(64)))[1] == (ListLeases(),)
    assert play(HOLDING, LeaseGone(subnet(64)), Listed([], 0.9))[1] == (Create(subnet(64), mine(subnet(64))),)


def test_a_denied_claim_withdraws_what_was_held() -> None:
    _, commands = play(HOLDING, Rejected("not listed"))
    assert commands == (Withdraw(lease(64), "not listed"), ReportProblem("not listed"), SetTimer(1.0))


@pytest.mark.parametrize("seen", [lease(64, OTHER, version=2), lease(128, version=2)])
def test_news_about_our_subnet_or_address_is_looked_into(seen: Lease) -> None:
    assert play(HOLDING, LeaseSeen(seen))[1] == (ListLeases(),)


@pytest.mark.parametrize("event", [LeaseSeen(lease(64)), LeaseSeen(lease(128, OTHER)), LeaseGone(subnet(128))])
def test_what_is_not_about_us_changes_nothing(event: Event) -> None:
    assert play(HOLDING, event) == (HOLDING, ())


def test_our_own_words_seen_again_are_adopted_with_their_version() -> None:
    state, commands = play(HOLDING, LeaseSeen(lease(64, version=9)))
    assert (state.held, commands) == (lease(64, version=9), ())


ELSEWHERE = IPv4Address("192.0.2.200")


def there(held: Subnet) -> Attributes:
    return Attributes(ELSEWHERE, None, "vxlan", f'"{held.key}"')


MOVED, AT_ONCE = play(HOLDING, AddressChanged(LeasePolicy(CONFIG, ELSEWHERE, there)))


def test_what_we_hold_is_published_with_our_new_address() -> None:
    assert (ListLeases(),) == AT_ONCE
    state, commands = play(MOVED, Listed([lease(64), lease(128, OTHER)], 0.0))
    assert commands == (Replace(lease(64), there(subnet(64))),)
    state, commands = play(state, Acquired(Lease(subnet(64), there(subnet(64)), 2, 86_400.0)))
    assert commands[0] == Publish(Lease(subnet(64), there(subnet(64)), 2))


def test_a_lease_of_ours_that_ended_meanwhile_is_taken_with_the_new_address() -> None:
    assert play(MOVED, Listed([], 0.0))[1] == (Create(subnet(64), there(subnet(64))),)


def test_a_store_that_is_away_while_we_move_is_asked_again_soon() -> None:
    assert play(MOVED, Failed("down"))[1] == (ReportProblem("down"), SetTimer(1.0))


@pytest.mark.parametrize("taken", [lease(64, version=2), lease(64, OTHER)])
def test_a_lease_that_the_heir_of_our_old_address_has_written_is_theirs(taken: Lease) -> None:
    _, commands = play(MOVED, Listed([taken], 0.0))
    assert commands == (
        Withdraw(lease(64), "another host has taken the subnet"),
        Create(subnet(128), there(subnet(128))),
    )


def test_words_of_the_heir_are_looked_into_not_adopted() -> None:
    assert play(MOVED, LeaseSeen(lease(64, version=2))) == (MOVED, (ListLeases(),))


def test_of_several_leases_with_our_address_the_one_in_the_lease_file_is_taken() -> None:
    state = LeaseState(FRESH.policy, previous=subnet(128))
    assert play(state, Listed([lease(64), lease(128)], 0.0))[1] == (Replace(lease(128), mine(subnet(128))),)


@pytest.mark.parametrize("event", [LeaseSeen(lease(64)), LeaseGone(subnet(64))])
def test_without_a_lease_nothing_seen_matters(event: Event) -> None:
    assert play(FRESH, event) == (FRESH, ())


def world(events: list[tuple[int, int]], judge: Callable[[LeaseState], None]) -> None:
    """A store of three subnets in which others come and go while we follow our commands to the letter."""
    state, entries = FRESH, dict[Subnet, Lease]()
    for last, action in events:
        if action == 0:
            entries[subnet(last)] = lease(last, OTHER)
        elif action == 1:
            entries.pop(subnet(last), None)
        pending: list[Event] = [Started()]
        while pending:
            state, commands = state_machine.step(state, pending.pop(0))
            judge(state)
            pending += [answer for command in commands if (answer := obey(command, entries))]
        assert state.held is None or entries[state.held.subnet].attributes.public_ip == ME


def obey(command: Command, entries: dict[Subnet, Lease]) -> Event | None:
    match command:
        case ListLeases():
            return Listed(sorted(entries.values(), key=lambda one: one.subnet.key), 0.5)
        case Create(wanted, values) | Replace(Lease(wanted), values):
            entries[wanted] = Lease(wanted, values, ttl=60.0)
            return Acquired(entries[wanted])
        case _:
            return None


@given(st.lists(st.tuples(st.sampled_from([64, 128, 192]), st.integers(0, 2)), max_size=12))
def test_we_never_keep_a_subnet_the_store_gives_to_another(events: list[tuple[int, int]]) -> None:
    held: list[Lease | None] = []
    world(events, lambda state: held.append(state.held))
    assert len(held) >= len(events)
