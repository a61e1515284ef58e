"""Claims: keys are flannel's text both ways, what its parser rejects is rejected; a pick is always offered, free and within
the first hundred free ones, and there is none only when nothing is free; the walk over free subnets misses none.
"""

import contextlib
from ipaddress import IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlay.config import network
from overlay.config.network import Pool
from overlay.subnet import allocation
from overlay.subnet.allocation import Subnet

V4 = Subnet(IPv4Network("10.5.9.0/24"))
DUAL = Subnet(IPv4Network("10.5.9.0/24"), IPv6Network("fd00:12:13::/56"))
SMALL = network.parse('{"Network": "10.9.0.0/24", "Backend": {"Type": "vxlan"}}', "x")  # /26 each: .64, .128, .192
DUAL_NET = network.parse(
    '{"Network": "10.5.0.0/16", "EnableIPv6": true, "IPv6Network": "fd00:12::/40", "IPv6SubnetLen": 56,'
    ' "Backend": {"Type": "vxlan"}}',
    "x",
)


@pytest.mark.parametrize(
    ("subnet", "key"),
    [
        (V4, "10.5.9.0-24"),
        (DUAL, "10.5.9.0-24&fd00:12:13::-56"),
        (Subnet(IPv4Network("0.0.0.0/0"), IPv6Network("fd00::/64")), "0.0.0.0-0&fd00::-64"),
        (Subnet(IPv4Network("10.5.9.8/31")), "10.5.9.8-31"),
    ],
)
def test_a_key_is_flannels_text_both_ways(subnet: Subnet, key: str) -> None:
    assert (subnet.key, allocation.parse_key(key)) == (key, subnet)


REJECTED = (
    "10", "10.12.13.0", "10.12.13-24", "10.12.13.300-24", "10.12.13.0-24x", "10.12.13.0-24\n", "&2001::-56", "",
    "10.12.13.0-24&2001::", "10.12.13.0-24&20011::-56", "10.12.13.0-24&:::-56", "10.12.13.0-32", "10.12.13.0-33",
    "10.12.13.0-24&fd00::-128", "10.12.013.0-24", "10.12.13.7-24", "10.5.9.0-24&FD00::-56", "10.5.9.0-٢٤",
)  # fmt: skip


@pytest.mark.parametrize("key", REJECTED)
def test_what_is_no_key_is_rejected(key: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        allocation.parse_key(key)


@given(st.text(alphabet="0123456789.-&:abcdef \n", max_size=40))
def test_no_text_raises_anything_but_value_error(key: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(allocation.parse_key(key), Subnet)


def test_subnets_overlap_in_either_family() -> None:
    other = Subnet(IPv4Network("10.5.10.0/24"), IPv6Network("fd00:12:13::/64"))
    assert DUAL.overlaps(other)
    assert not V4.overlaps(other)


@pytest.mark.parametrize(
    ("subnet", "offered"),
    [
        (DUAL, True),
        (V4, False),
        (Subnet(IPv4Network("10.5.0.0/24"), DUAL.ipv6), False),
        (Subnet(IPv4Network("10.5.9.0/25"), DUAL.ipv6), False),
        (Subnet(V4.ipv4, IPv6Network("fd00:12:13::/64")), False),
    ],
)
def test_a_network_offers_subnets_of_its_families_length_and_bounds(subnet: Subnet, offered: bool) -> None:
    assert allocation.is_compatible(DUAL_NET, subnet) is offered


def quarter(number: int) -> Subnet:
    return Subnet(IPv4Network((0x0A090000 + 64 * number, 26)))


@pytest.mark.parametrize(("random", "number"), [(0.0, 1), (0.34, 2), (0.999, 3)])
def test_the_dice_choose_among_free_subnets(random: float, number: int) -> None:
    assert allocation.allocate(SMALL, [], random) == quarter(number)


def test_there_is_none_when_all_are_taken() -> None:
    assert allocation.allocate(SMALL, [quarter(1), quarter(2), quarter(3)], 0.5) is None


def test_a_larger_foreign_lease_takes_all_it_covers() -> None:
    assert allocation.allocate(SMALL, [Subnet(IPv4Network("10.9.0.0/25"))], 0.0) == quarter(2)


taken_subnets = st.lists(
    st.builds(lambda base, length: IPv4Network((base, length), strict=False), st.integers(0x0A08FF00, 0x0A0901FF), st.integers(22, 31)),
    max_size=8,
)  # fmt: skip


@given(taken_subnets)
def test_the_walk_yields_exactly_the_subnets_that_overlap_nobody(taken: list[IPv4Network]) -> None:
    pool = SMALL.ipv4
    every = [quarter(number).ipv4 for number in (1, 2, 3)]
    expected = [int(one.network_address) for one in every if not any(one.overlaps(other) for other in taken)]
    assert list(allocation.free(pool, taken)) == expected


@given(st.floats(0, 1, exclude_max=True), st.sets(st.integers(1, 255), max_size=200))
def test_a_pick_is_offered_free_and_within_the_first_hundred(random: float, numbers: set[int]) -> None:
    config = network.parse('{"Network": "10.3.0.0/16", "Backend": {"Type": "vxlan"}}', "x")
    taken = [Subnet(IPv4Network((0x0A030000 + 256 * number, 24))) for number in numbers]
    picked = allocation.allocate(config, taken, random)
    if len(numbers) == 255:
        assert picked is None
        return
    assert picked is not None
    free = sorted(set(range(1, 256)) - numbers)[: allocation.CANDIDATES]
    assert int(picked.ipv4.network_address) - 0x0A030000 in [256 * number for number in free]


def test_both_families_are_picked_apart() -> None:
    picked = allocation.allocate(DUAL_NET, [], 0.0)
    assert picked == Subnet(IPv4Network("10.5.1.0/24"), IPv6Network("fd00:12:0:100::/56"))


def test_the_step_is_the_size_of_a_subnet() -> None:
    assert Pool(IPv4Network("10.0.0.0/8"), 24, 0, 0).step == 256
