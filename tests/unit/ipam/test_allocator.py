"""Which address an attachment gets, decided on a store in memory that obeys the same protocol as the disk.

Claims: candidates go round robin over all ranges of a set and leave out gateways (docs/reference/cni.md 3.3); what is refused is refused
in the reference's words and leaves exactly what was there before; requested addresses go to the first set that holds them;
excluded ones are neither given nor granted (docs/reference/cni.md 6, row 25); a long row of taken ones costs one look at the store.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, ip_address, ip_interface, ip_network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.errors import CniError
from ipam import allocator, claims, ranges
from ipam.claims import Claim, Reservation
from ipam.ranges import RangeSet
from system.ip import IPAddress


class Shelf:
    """Claims in a dictionary; `stolen` addresses look free and turn out to be somebody's at the last moment."""

    location = "/shelf"

    def __init__(self, *, stolen: frozenset[str] = frozenset()) -> None:
        self.texts: dict[str, str] = {}
        self.addresses: dict[str, IPAddress] = {}
        self.cursors: dict[int, IPAddress] = {}
        self.stolen = stolen
        self.looks = 0

    def reservations(self) -> tuple[Reservation, ...]:
        self.looks += 1
        return tuple(Reservation(name, self.addresses[name], text) for name, text in self.texts.items())

    def claimed(self, claim: Claim) -> tuple[Reservation, ...]:
        return claims.held(self.reservations(), claim)

    def reserve(self, address: IPAddress, claim: Claim) -> Reservation | None:
        name = str(address)
        if name in self.texts or name in self.stolen:
            return None
        self.texts[name], self.addresses[name] = claim.text, address
        return Reservation(name, address, claim.text)

    def release(self, reservation: Reservation) -> None:
        self.texts.pop(reservation.path, None)

    def last(self, index: int) -> IPAddress | None:
        return self.cursors.get(index)

    def remember(self, index: int, address: IPAddress) -> None:
        self.cursors[index] = address


ME = Claim("me", "eth0")
SOMEBODY = Claim("somebody", "eth0")


def pool(*members: str) -> RangeSet:
    """Build a set of `subnet`, or `subnet start end`."""
    parts = [member.split() for member in members]
    return RangeSet(
        tuple(ranges.canonical(ip_interface(part[0]), *(ip_address(text) for text in part[1:])) for part in parts)
    )


def shelf(*taken: str, claim: Claim = SOMEBODY, last: str = "") -> Shelf:
    made = Shelf()
    for text in taken:
        made.reserve(ip_address(text), claim)
    if last:
        made.remember(0, ip_address(last))
    return made


def given_out(sets: Sequence[RangeSet], store: Shelf, *wishes: str, claim: Claim = ME) -> list[str]:
    allotted = allocator.allocate(sets, [ip_address(text) for text in wishes], store, claim)
    return [str(each.address) for each in allotted]


@pytest.mark.parametrize(
    ("last", "order"),
    [
        ("", ["2", "3", "4", "5", "6"]),
        ("10.0.0.4", ["5", "6", "2", "3", "4"]),
        ("10.0.0.6", ["2", "3", "4", "5", "6"]),
        ("10.0.0.1", ["2", "3", "4", "5", "6"]),
        ("192.0.2.1", ["2", "3", "4", "5", "6"]),
    ],
)
def test_candidates_start_behind_the_last_one(last: str, order: list[str]) -> None:
    found = allocator.candidates(pool("10.0.0.0/29"), ip_address(last) if last else None)
    assert [str(each.address).removeprefix("10.0.0.") for each in found] == order


def test_candidates_hop_to_the_next_range_and_roll_over() -> None:
    members = pool("10.0.0.0/30", "10.0.1.0/30", "10.0.2.0/29 10.0.2.0 10.0.2.2")
    found = [str(each.address) for each in allocator.candidates(members, ip_address("10.0.1.2"))]
    assert found == ["10.0.2.0", "10.0.2.2", "10.0.0.2", "10.0.1.2"]


@given(
    st.integers(0, 40),
    st.sampled_from([("10.0.0.0/29",), ("10.0.0.0/28", "10.0.1.0/30"), ("10.0.0.0/29 10.0.0.3 10.0.0.4",)]),
)
def test_every_cycle_visits_each_address_once_from_any_cursor(offset: int, members: tuple[str, ...]) -> None:
    members_set = pool(*members)
    found = [each.address for each in allocator.candidates(members_set, ip_address("10.0.0.0") + offset)]
    expected = {each.address for each in allocator.candidates(members_set)}
    assert len(found) == len(set(found)) == sum(each.size for each in members_set.ranges)
    assert set(found) == expected


def _in_order(members: RangeSet, last: IPAddress | None) -> list[IPAddress]:
    """Contract 3.3, step by step: behind the last one, range by range and round again, the last one at the very end."""
    all_of_them = [
        each.start + offset for each in members.ranges for offset in range(int(each.end) - int(each.start) + 1)
    ]
    behind = all_of_them.index(last) + 1 if last in all_of_them else 0
    circle = [*all_of_them[behind:], *all_of_them[:behind]]
    gateways = {each.gateway for each in members.ranges}
    return [address for address in circle if address not in gateways]


@st.composite
def pools(draw: st.DrawFn) -> RangeSet:
    """Sets of one to four ranges in subnets of their own, of either family, in any order, with any gateway."""
    template = draw(st.sampled_from(["10.0.{0}.0/28", "fd00:{0}::/124"]))
    members = []
    for number in draw(st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True)):
        subnet = ip_interface(template.format(number))
        low, high = sorted(draw(st.tuples(st.integers(0, 15), st.integers(0, 15))))
        gateway = draw(st.integers(0, 15))
        members.append(ranges.canonical(subnet, *(subnet.ip + each for each in (low, high, gateway))))
    return RangeSet(tuple(members))


@given(pools(), st.data())
def test_candidates_are_the_contracts_order(members: RangeSet, data: st.DataObject) -> None:
    every = [each.start + offset for each in members.ranges for offset in range(int(each.end) - int(each.start) + 1)]
    last = data.draw(st.none() | st.sampled_from(every))
    found = [each.address for each in allocator.candidates(members, last)]
    assert found == _in_order(members, last)


@given(pools(), st.data())
def test_a_life_of_adds_and_dels_follows_the_contracts_order(members: RangeSet, data: st.DataObject) -> None:
    store, held, last = Shelf(), list[IPAddress](), None
    for number, leaving in enumerate(data.draw(st.lists(st.none() | st.integers(0, 9), min_size=1, max_size=20))):
        if leaving is not None and leaving < len(held):
            store.release(Reservation(str(held.pop(leaving)), None, ""))
        wanted = next((each for each in _in_order(members, last) if each not in held), None)
        if wanted is None:
            with pytest.raises(CniError, match="no IP addresses available in range set"):
                allocator.allocate([members], [], store, Claim(f"c{number}", "eth0"))
        else:
            (allotted,) = allocator.allocate([members], [], store, Claim(f"c{number}", "eth0"))
            assert allotted.address == wanted
            held.append(wanted)
            last = wanted


def test_excluded_addresses_are_left_out_whatever_their_number() -> None:
    members = RangeSet(
        (pool("fd00::/64").ranges[0].without([ip_network("fd00::/65"), ip_network("fd00::8000:0:0:1")]),)
    )
    first = next(allocator.candidates(members))
    assert str(first.address) == "fd00::8000:0:0:0"
    assert str(next(allocator.candidates(members, first.address)).address) == "fd00::8000:0:0:2"
    assert allocator.free(members, []) == 2**63 - 1


def test_requested_address_that_is_excluded_is_refused() -> None:
    members = RangeSet((pool("10.0.0.0/24").ranges[0].without([ip_network("10.0.0.8/30")]),))
    with pytest.raises(CniError, match=r"requested ip 10.0.0.9 is excluded: .*ipam.exclude") as refusal:
        given_out([members], shelf(), "10.0.0.9")
    assert refusal.value.code == 7


def test_a_long_row_of_taken_addresses_costs_one_look() -> None:
    store = shelf(*(str(ip_address("10.0.0.2") + number) for number in range(1000)))
    assert given_out([pool("10.0.0.0/16")], store) == ["10.0.3.234"]
    assert store.looks == 2


def test_candidates_ascend_within_a_range() -> None:
    found = [int(each.address) for each in allocator.candidates(pool("10.0.0.0/24"))]
    assert all(later - sooner == 1 for sooner, later in pairwise(found))


def test_first_address_is_the_one_behind_the_gateway() -> None:
    assert given_out([pool("10.1.2.0/24"), pool("fd00:1::/64")], shelf()) == ["10.1.2.2", "fd00:1::2"]


@pytest.mark.parametrize(
    ("taken", "last", "expected"),
    [
        ((), "", "10.0.0.2"),
        (("10.0.0.2",), "10.0.0.2", "10.0.0.3"),
        (("10.0.0.2", "10.0.0.4"), "10.0.0.5", "10.0.0.6"),
        (("10.0.0.2", "10.0.0.6"), "10.0.0.5", "10.0.0.3"),
        (("10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"), "10.0.0.3", "10.0.0.6"),
        (("10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.6"), "10.0.0.4", "10.0.0.4"),
        ((), "10.0.0.128", "10.0.0.2"),
        ((), "fd00::1", "10.0.0.2"),
    ],
)
def test_round_robin(taken: tuple[str, ...], last: str, expected: str) -> None:
    assert given_out([pool("10.0.0.0/29")], shelf(*taken, last=last)) == [expected]


@pytest.mark.parametrize(
    ("taken", "last", "expected"),
    [
        ((), "", "10.0.0.2"),
        (("10.0.0.2", "10.0.0.3", "10.0.0.4"), "10.0.0.4", "10.0.0.5"),
        (("10.0.0.5", "10.0.0.6"), "10.0.0.4", "10.0.1.2"),
        (("10.0.1.6",), "10.0.1.5", "10.0.0.2"),
        (("10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"), "10.0.1.6", "10.0.1.2"),
        ((), "10.0.1.6", "10.0.0.2"),
    ],
    ids=["first", "next", "hop", "roll over", "full range passed over", "last of all"],
)
def test_round_robin_over_two_ranges(taken: tuple[str, ...], last: str, expected: str) -> None:
    assert given_out([pool("10.0.0.0/29", "10.0.1.0/29")], shelf(*taken, last=last)) == [expected]


def test_broadcast_is_never_given() -> None:
    store = shelf("10.0.0.2", last="10.0.0.2")
    with pytest.raises(CniError, match=r"no IP addresses available in range set: 10.0.0.1-10.0.0.2"):
        given_out([pool("10.0.0.0/30")], store)


def test_address_stolen_between_look_and_reservation_is_passed_over() -> None:
    assert given_out([pool("10.0.0.0/29")], Shelf(stolen=frozenset({"10.0.0.2"}))) == ["10.0.0.3"]


def test_cursor_moves_to_what_was_given_requested_or_not() -> None:
    store = shelf()
    given_out([pool("10.0.0.0/24"), pool("10.1.0.0/24")], store, "10.1.0.9")
    assert store.cursors == {0: IPv4Address("10.0.0.2"), 1: IPv4Address("10.1.0.9")}


def test_second_claim_of_one_attachment_is_refused() -> None:
    with pytest.raises(CniError) as refusal:
        given_out([pool("10.0.0.0/24")], shelf("10.0.0.7", claim=ME))
    assert refusal.value.code == 103
    assert refusal.value.msg == (
        "failed to allocate for range 0: 10.0.0.7 has been allocated to me, duplicate allocation is not allowed"
    )


def test_legacy_claim_of_the_container_counts_as_its_own() -> None:
    store = shelf("10.0.0.7")
    store.texts["10.0.0.7"] = "me"
    with pytest.raises(CniError, match="duplicate allocation is not allowed"):
        given_out([pool("10.0.0.0/24")], store)


@pytest.mark.parametrize(
    "neighbour",
    [Claim("me", "eth1"), Claim("me", "eth0", "other-network"), Claim("meme", "eth0")],
    ids=["another interface", "another network", "another container"],
)
def test_a_neighbours_claim_does_not_stand_in_the_way(neighbour: Claim) -> None:
    assert given_out([pool("10.0.0.0/24")], shelf("10.0.0.7", claim=neighbour)) == ["10.0.0.2"]


def test_own_address_in_another_set_does_not_stand_in_the_way() -> None:
    assert given_out([pool("10.0.0.0/24")], shelf("10.9.9.9", claim=ME)) == ["10.0.0.2"]


def test_exhaustion_names_range_and_holders() -> None:
    with pytest.raises(CniError) as refusal:
        given_out([pool("10.0.0.0/30")], shelf("10.0.0.2"))
    assert refusal.value.code == 101
    assert refusal.value.msg == (
        "failed to allocate for range 0: no IP addresses available in range set: 10.0.0.1-10.0.0.2"
    )
    assert "/shelf" in refusal.value.remedy


def test_requested_addresses_go_to_the_sets_that_hold_them() -> None:
    sets = [pool("10.0.0.0/24"), pool("10.1.0.0/24"), pool("fd00::/64")]
    assert given_out(sets, shelf(), "fd00::9", "10.1.0.9") == ["10.0.0.2", "10.1.0.9", "fd00::9"]


def test_a_wish_repeated_is_one_wish() -> None:
    assert given_out([pool("10.0.0.0/24")], shelf(), "10.0.0.9", "10.0.0.9") == ["10.0.0.9"]


@pytest.mark.parametrize(
    ("wishes", "code", "refusal"),
    [
        (["10.0.0.1"], 7, "failed to allocate for range 0: requested ip 10.0.0.1 is subnet's gateway"),
        (
            ["10.0.0.5"],
            101,
            "failed to allocate for range 0: requested IP address 10.0.0.5 is not available in range set 10.0.0.1-10.0.0.254",
        ),
        (["10.9.0.1"], 7, "failed to allocate all requested IPs: 10.9.0.1"),
        (["10.0.0.0"], 7, "failed to allocate all requested IPs: 10.0.0.0"),
        (["10.0.0.255"], 7, "failed to allocate all requested IPs: 10.0.0.255"),
        (["10.0.0.8", "10.0.0.9", "fd00::1"], 7, "failed to allocate all requested IPs: 10.0.0.9 fd00::1"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(wishes: list[str], code: int, refusal: str) -> None:
    store = shelf("10.0.0.5")
    with pytest.raises(CniError) as refused:
        given_out([pool("10.0.0.0/24")], store, *wishes)
    assert (refused.value.code, refused.value.msg) == (code, refusal)
    assert list(store.texts) == ["10.0.0.5"]
    assert store.cursors == {}


def test_a_refusal_takes_back_only_what_this_call_reserved() -> None:
    store = shelf("10.9.0.9", claim=ME)
    store.reserve(ip_address("10.1.0.2"), SOMEBODY)
    with pytest.raises(CniError, match="failed to allocate for range 1"):
        given_out([pool("10.0.0.0/24"), pool("10.1.0.0/30")], store)
    assert list(store.texts) == ["10.9.0.9", "10.1.0.2"]


@given(st.sets(st.integers(0, 15)))
def test_free_counts_what_candidates_would_find(offsets: set[int]) -> None:
    members = pool("10.0.0.0/29", "10.0.0.8/29 10.0.0.8 10.0.0.12")
    taken: set[IPAddress] = {IPv4Address("10.0.0.0") + offset for offset in offsets}
    untaken = [each for each in allocator.candidates(members) if each.address not in taken]
    assert allocator.free(members, taken) == len(untaken)


def test_free_of_a_huge_range_is_counted_at_once() -> None:
    assert allocator.free(pool("fd00::/64"), [ip_address("fd00::2"), ip_address("10.0.0.1")]) == 2**64 - 3
