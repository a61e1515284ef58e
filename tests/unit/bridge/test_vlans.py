"""Claims about bridge.vlans (docs/reference/cni.md 2.1, 2.2).

* A VLAN id lies between 0 and 4094, where 0 is none; texts of refusals are the reference's.
* A trunk is the sorted union of its entries; the first wrong entry is refused with the reference's text.
* A port's native VLAN is `vlan`, for a bare trunk 1; without either the port stays as the bridge made it.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import vlans
from bridge.vlans import Member
from cni.errors import CniError
from cni.json_object import JsonObject


def trunk(*entries: Any) -> tuple[int, ...]:
    return vlans.trunk(JsonObject({"vlanTrunk": list(entries)}))


@pytest.mark.parametrize("vid", [0, 1, 4094])
def test_an_id_within_bounds_is_taken(vid: int) -> None:
    assert vlans.identifier(JsonObject({"vlan": vid})) == vid


@pytest.mark.parametrize("vid", [-1, 4095, 10000])
def test_an_id_out_of_bounds_is_refused_literally(vid: int) -> None:
    with pytest.raises(CniError) as refused:
        vlans.identifier(JsonObject({"vlan": vid}))
    assert refused.value.msg == f"invalid VLAN ID {vid} (must be between 0 and 4094)"


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], ()),
        ([{"id": 15}], (15,)),
        ([{"minID": 10, "maxID": 12}], (10, 11, 12)),
        ([{"minID": 10, "maxID": 11, "id": 42}], (10, 11, 42)),
        ([{"id": 101}, {"minID": 200, "maxID": 202}, {"id": 201}], (101, 200, 201, 202)),
        ([{"MINID": 4094, "maxid": 4094}, {}, None], (4094,)),
    ],
)
def test_a_trunk_is_the_sorted_union_of_its_entries(entries: list[Any], expected: tuple[int, ...]) -> None:
    assert trunk(*entries) == expected


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"minID": 10}, "minID and maxID should be configured simultaneously, maxID is missing"),
        ({"maxID": 10}, "minID and maxID should be configured simultaneously, minID is missing"),
        ({"minID": 0, "maxID": 10}, "incorrect trunk minID parameter"),
        ({"minID": -1, "maxID": 10}, "incorrect trunk minID parameter"),
        ({"minID": 4095, "maxID": 4096}, "incorrect trunk minID parameter"),
        ({"minID": 10, "maxID": 0}, "incorrect trunk maxID parameter"),
        ({"minID": 10, "maxID": 4095}, "incorrect trunk maxID parameter"),
        ({"minID": 20, "maxID": 10}, "minID is greater than maxID in trunk parameter"),
        ({"id": 0}, "incorrect trunk id parameter"),
        ({"id": -1}, "incorrect trunk id parameter"),
        ({"id": 4095}, "incorrect trunk id parameter"),
    ],
)
def test_a_wrong_entry_is_refused_literally(entry: dict[str, int], message: str) -> None:
    with pytest.raises(CniError) as refused:
        trunk({"id": 7}, entry)
    assert refused.value.msg == message


@pytest.mark.parametrize(
    ("vlan", "tagged", "members"),
    [
        (0, (), ()),
        (100, (), (Member(100, native=True),)),
        (0, (101, 200), (Member(1, native=True), Member(101), Member(200))),
        (100, (101,), (Member(100, native=True), Member(101))),
        (100, (100, 101), (Member(100, native=True), Member(101))),
    ],
)
def test_a_port_has_one_native_vlan_and_the_rest_tagged(
    vlan: int, tagged: tuple[int, ...], members: tuple[Member, ...]
) -> None:
    assert vlans.container_port(vlan, tagged) == members


@given(st.integers(0, 4094), st.sets(st.integers(1, 4094), max_size=20))
def test_no_membership_is_given_twice(vlan: int, tagged: set[int]) -> None:
    members = vlans.container_port(vlan, sorted(tagged))
    assert len({member.vid for member in members}) == len(members)
    assert sum(member.native for member in members) == bool(vlan or tagged)


def test_the_gateway_of_a_vlan_is_a_link_named_after_both() -> None:
    assert (vlans.gateway_name("bridge0", 100), vlans.gateway_port(100)) == ("bridge0.100", (Member(100, native=True),))
