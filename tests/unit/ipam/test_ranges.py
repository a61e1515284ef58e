"""The algebra of ranges.

Claims: a range completes and refuses itself in the reference's order and words (docs/reference/cni.md 3.2); a set holds one family and
no address twice; overlap is symmetric and means a shared address; a size counts exactly what may be given out, in ascending
stretches without the gateway and without anything excluded.
"""

from ipaddress import IPv4Address, IPv4Network, ip_address, ip_interface, ip_network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipam import ranges
from ipam.ranges import Range, RangeSet


def a_range(subnet: str, start: str = "", end: str = "", gateway: str = "") -> Range:
    start_, end_, gateway_ = (ip_address(text) if text else None for text in (start, end, gateway))
    return ranges.canonical(ip_interface(subnet), start_, end_, gateway_)


@pytest.mark.parametrize(
    ("subnet", "text", "gateway"),
    [
        ("192.0.2.0/24", "192.0.2.1-192.0.2.254", "192.0.2.1"),
        ("192.0.2.4/30", "192.0.2.5-192.0.2.6", "192.0.2.5"),
        ("2001:DB8:1::/64", "2001:db8:1::1-2001:db8:1:0:ffff:ffff:ffff:ffff", "2001:db8:1::1"),
        ("fd00::4/126", "fd00::5-fd00::7", "fd00::5"),
    ],
)
def test_defaults_leave_out_the_network_and_the_v4_broadcast(subnet: str, text: str, gateway: str) -> None:
    completed = a_range(subnet)
    assert str(completed) == text
    assert str(completed.gateway) == gateway


def test_start_may_be_the_network_address_and_the_gateway_anywhere() -> None:
    assert (
        str(a_range("192.0.2.0/24", start="192.0.2.0", end="192.0.2.9", gateway="198.51.100.1"))
        == "192.0.2.0-192.0.2.9"
    )


@pytest.mark.parametrize(
    ("subnet", "start", "end", "refusal"),
    [
        ("192.0.2.0/31", "", "", "Network 192.0.2.0/31 too small to allocate from"),
        ("192.0.2.1/32", "", "", "Network 192.0.2.1/32 too small to allocate from"),
        ("fd00::/127", "", "", "Network fd00::/127 too small to allocate from"),
        (
            "192.0.2.12/24",
            "",
            "",
            "Network has host bits set. For a subnet mask of length 24 the network address is 192.0.2.0",
        ),
        (
            "2001:DB8:1::24:19ff:fee1:c44a/64",
            "",
            "",
            "Network has host bits set. For a subnet mask of length 64 the network address is 2001:db8:1::",
        ),
        ("192.0.2.0/24", "192.0.3.0", "", "RangeStart 192.0.3.0 not in network 192.0.2.0/24"),
        ("192.0.2.0/24", "", "192.0.4.0", "RangeEnd 192.0.4.0 not in network 192.0.2.0/24"),
        ("192.0.2.0/24", "192.0.2.50", "192.0.2.40", "RangeStart 192.0.2.50 not in network 192.0.2.0/24"),
        ("192.0.2.0/24", "", "192.0.2.0", "RangeEnd 192.0.2.0 not in network 192.0.2.0/24"),
        ("192.0.2.0/24", "fd00::1", "", "RangeStart fd00::1 not in network 192.0.2.0/24"),
    ],
)
def test_refusals_are_the_references(subnet: str, start: str, end: str, refusal: str) -> None:
    with pytest.raises(ValueError) as refused:
        a_range(subnet, start, end)
    assert str(refused.value) == refusal


def test_a_range_without_a_subnet_is_refused() -> None:
    with pytest.raises(ValueError, match="IP <nil> not v4 nor v6"):
        ranges.canonical(None)


def test_a_gateway_of_another_family_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Gateway fd00::1 is of another address family than network 192.0.2.0/24"):
        a_range("192.0.2.0/24", gateway="fd00::1")


@pytest.mark.parametrize(
    ("members", "refusal"),
    [
        ([], "empty range set"),
        ([a_range("192.0.2.0/24"), a_range("fd00::/64")], "mixed address families"),
        (
            [a_range("192.0.2.0/24", "", "192.0.2.20"), a_range("192.0.2.0/24", "192.0.2.15")],
            "subnets 192.0.2.1-192.0.2.20 and 192.0.2.15-192.0.2.254 overlap",
        ),
    ],
)
def test_members_that_do_not_go_together_are_refused(members: list[Range], refusal: str) -> None:
    with pytest.raises(ValueError) as refused:
        RangeSet(tuple(members))
    assert str(refused.value) == refusal


def test_a_set_prints_its_ranges_joined_by_commas() -> None:
    pool = RangeSet((a_range("192.0.2.0/24"), a_range("198.51.100.0/30")))
    assert str(pool) == "192.0.2.1-192.0.2.254,198.51.100.1-198.51.100.2"


def test_sets_that_share_an_address_are_named_by_their_numbers() -> None:
    sets = [RangeSet((a_range(subnet),)) for subnet in ("10.1.0.0/24", "10.2.0.0/24", "10.2.0.0/16")]
    with pytest.raises(ValueError, match="range set 1 overlaps with 2"):
        ranges.require_disjoint(sets)


def _within_24() -> st.SearchStrategy[Range]:
    bounds = st.tuples(st.integers(0, 255), st.integers(0, 255)).map(sorted)
    base = int(IPv4Address("192.0.2.0"))
    return st.builds(
        lambda low_high, gateway: ranges.canonical(
            ip_interface("192.0.2.0/24"),
            IPv4Address(base + low_high[0]),
            IPv4Address(base + low_high[1]),
            IPv4Address(base + gateway),
        ),
        bounds,
        st.integers(0, 255),
    )


@given(_within_24(), _within_24())
def test_overlap_means_a_shared_address(one: Range, other: Range) -> None:
    shared = [address for address in one.subnet if address in one and address in other]
    assert one.overlaps(other) == other.overlaps(one) == bool(shared)


@given(_within_24())
def test_size_counts_what_may_be_given_out(one: Range) -> None:
    assert one.size == len([address for address in one.subnet if address in one and address != one.gateway])


NETWORKS = st.lists(
    st.tuples(st.integers(0, 255), st.integers(24, 32)).map(
        lambda parts: ip_network(f"192.0.2.{parts[0]}/{parts[1]}", strict=False)
    ),
    max_size=4,
)


@given(_within_24(), NETWORKS)
def test_spans_hold_exactly_what_is_offered(one: Range, networks: list[IPv4Network]) -> None:
    taken_out = one.without(networks)
    spans = list(taken_out.spans())
    offered = [
        address
        for address in one.subnet
        if address in one and address != one.gateway and not any(address in network for network in networks)
    ]
    assert [IPv4Address(number) for low, high in spans for number in range(low, high + 1)] == offered
    assert [address for address in one.subnet if taken_out.offers(address)] == offered
    assert taken_out.size == len(offered)
    assert all(sooner[1] < later[0] for sooner, later in pairwise(spans))


def test_networks_of_the_other_family_exclude_nothing() -> None:
    assert a_range("fd00::/64").without([ip_network("10.0.0.0/8")]).size == 2**64 - 2


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_families_never_mix(address: IPv4Address) -> None:
    everything = a_range("::/0", start="::", end="ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
    assert address not in everything
    assert not everything.overlaps(a_range("0.0.0.0/0"))
