"""Claims: docs/reference/flannel.md 4.5, case by case: names, addresses, patterns in the order given, then a route, then the default
route; which of an interface's addresses is told to others; what cannot be found is said with what this host has; what is in
use is kept while its interface has the addresses, unless that is a link-local one and another came late.
"""

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_interface, ip_network

import pytest

from kernel.netlink.objects import PERMANENT, Address, Link, NextHop, Route
from overlay.backends import Underlay
from overlay.datapath import underlay
from overlay.datapath.underlay import DEPRECATED, TEMPORARY, InterfaceSelection
from overlay.errors import Unavailable
from system.ip import IPAddress

LO, ETH0, ETH1 = Link(1, "lo", mtu=65536), Link(2, "eth0", mtu=1500), Link(3, "eth1", mtu=9000)
HERE = IPv4Address("192.0.2.1")


def held(link: int, text: str, flags: int = PERMANENT) -> Address:
    return Address(link, ip_interface(text), flags=flags)


def route(dst: str, link: int, **more: object) -> Route:
    return Route(ip_network(dst), link=link, **more)  # type: ignore[arg-type]


@dataclass
class Tables:
    """A kernel that lists these."""

    held: list[Address] = field(
        default_factory=lambda: [
            held(1, "127.0.0.1/8"),
            held(2, "192.0.2.1/24"),
            held(2, "2001:db8::1/64"),
            held(3, "198.51.100.1/24"),
            held(3, "198.51.100.2/24"),
        ]
    )
    ways: list[Route] = field(default_factory=lambda: [route("0.0.0.0/0", 2), route("::/0", 2)])
    all_links: tuple[Link, ...] = (LO, ETH0, ETH1)

    def links(self) -> tuple[Link, ...]:
        return self.all_links

    def addresses(self, link: int | None = None) -> tuple[Address, ...]:
        return tuple(one for one in self.held if link in (None, one.link))

    def routes(self) -> tuple[Route, ...]:
        return tuple(self.ways)

    def route_to(self, address: IPAddress) -> Route | None:
        return (
            Route(ip_network(address), link=3, source=IPv4Address("198.51.100.2"))
            if address in ip_network("198.51.100.0/24")
            else None
        )


def choose(wish: InterfaceSelection, view: Tables | None = None, *, dual: bool = False) -> Underlay:
    return underlay.choose(view or Tables(), wish, dual=dual)


@pytest.mark.parametrize(
    ("wish", "name", "public"),
    [
        (InterfaceSelection(), "eth0", "192.0.2.1"),
        (InterfaceSelection(names=("eth1",)), "eth1", "198.51.100.1"),
        (InterfaceSelection(names=("198.51.100.2",)), "eth1", "198.51.100.2"),
        (InterfaceSelection(names=("eth9", "eth1")), "eth1", "198.51.100.1"),
        (InterfaceSelection(names=("eth9",), patterns=("^192",)), "eth0", "192.0.2.1"),
        (InterfaceSelection(patterns=(r"\.100\.2$",)), "eth1", "198.51.100.2"),
        (InterfaceSelection(patterns=("th1",)), "eth1", "198.51.100.1"),
        (InterfaceSelection(can_reach="198.51.100.9"), "eth1", "198.51.100.2"),
        (InterfaceSelection(names=("eth9",), can_reach="198.51.100.9"), "eth1", "198.51.100.2"),
        (InterfaceSelection(public_ip="198.51.100.2"), "eth1", "198.51.100.2"),
        (InterfaceSelection(public_ipv6="2001:db8::1"), "eth0", "192.0.2.1"),
        (InterfaceSelection(names=("eth0",), public_ip="203.0.113.7"), "eth0", "203.0.113.7"),
    ],
)
def test_the_first_that_exists_is_chosen_with_the_address_it_was_named_by(
    wish: InterfaceSelection, name: str, public: str
) -> None:
    chosen = choose(wish)
    assert (chosen.interface, str(chosen.public_ip)) == (name, public)


def test_the_mtu_is_the_interfaces() -> None:
    assert choose(InterfaceSelection(names=("eth1",))).mtu == 9000


def test_dual_stack_takes_both_addresses() -> None:
    assert choose(InterfaceSelection(), dual=True) == Underlay("eth0", 1500, HERE, IPv6Address("2001:db8::1"), HERE)


def test_dual_stack_needs_one_interface_for_both_default_routes() -> None:
    with pytest.raises(Unavailable, match="no default route"):
        choose(InterfaceSelection(), Tables(ways=[route("0.0.0.0/0", 2), route("::/0", 3)]), dual=True)


def test_a_dual_stack_pattern_must_match_both_families() -> None:
    with pytest.raises(Unavailable, match="matches nothing"):
        choose(InterfaceSelection(patterns=("^198",)), dual=True)


@pytest.mark.parametrize(
    "wish", [InterfaceSelection(patterns=("::9$|^192",)), InterfaceSelection(names=("2001:db8::9",))]
)
def test_a_dual_stack_interface_has_the_ipv6_address_it_was_found_by(wish: InterfaceSelection) -> None:
    tables = Tables()
    tables.held.append(held(2, "2001:db8::9/64"))
    assert choose(wish, tables, dual=True).public_ipv6 == IPv6Address("2001:db8::9")


def test_a_multipath_default_route_counts_by_its_first_hop() -> None:
    way = route("0.0.0.0/0", 0, hops=(NextHop(None, 3), NextHop(None, 2)))
    assert choose(InterfaceSelection(), Tables(ways=[way])).interface == "eth1"


@pytest.mark.parametrize(
    ("first", "second", "chosen"),
    [
        (held(2, "169.254.0.1/16"), held(2, "192.0.2.1/24", 0), "192.0.2.1"),
        (held(2, "192.0.2.9/24", 0), held(2, "192.0.2.1/24"), "192.0.2.1"),
        (held(2, "192.0.2.9/24", PERMANENT | TEMPORARY), held(2, "192.0.2.1/24"), "192.0.2.1"),
        (held(2, "192.0.2.9/24", PERMANENT | DEPRECATED), held(2, "192.0.2.1/24"), "192.0.2.1"),
        (held(2, "10.0.0.1/24"), held(2, "192.0.2.1/24"), "10.0.0.1"),
        (held(2, "127.0.0.9/8"), held(2, "192.0.2.1/24"), "192.0.2.1"),
    ],
)
def test_other_hosts_are_told_the_best_address(first: Address, second: Address, chosen: str) -> None:
    assert str(choose(InterfaceSelection(), Tables(held=[first, second])).public_ip) == chosen


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (InterfaceSelection(names=("eth9",)), "--iface eth9 does not exist"),
        (InterfaceSelection(names=("203.0.113.9",)), "--iface 203.0.113.9"),
        (InterfaceSelection(names=("lo",)), "no usable address"),
        (InterfaceSelection(patterns=("wlan",)), "--iface-regex wlan matches nothing"),
        (InterfaceSelection(can_reach="8.8.8.8"), "no route to 8.8.8.8"),
        (InterfaceSelection(public_ip="203.0.113.9"), "--public-ip 203.0.113.9 is on no interface.*--iface"),
    ],
)
def test_what_cannot_be_found_is_said_with_what_this_host_has(wish: InterfaceSelection, reason: str) -> None:
    with pytest.raises(Unavailable, match=reason) as refused:
        choose(wish)
    assert "this host has 192.0.2.1 (eth0), 2001:db8::1 (eth0), 198.51.100.1 (eth1)" in str(refused.value)


IN_USE = Underlay("eth0", 1500, HERE, IPv6Address("2001:db8::1"), HERE)


@pytest.mark.parametrize(
    ("tables", "wish", "found"),
    [
        (Tables(), InterfaceSelection(), IN_USE),
        (Tables(held=[held(2, "192.0.2.9/24"), *Tables().held]), InterfaceSelection(), IN_USE),
        (
            Tables(all_links=(LO, replace(ETH0, mtu=1400))),
            InterfaceSelection(),
            replace(IN_USE, mtu=1400, earlier_mtu=1500),
        ),
        (Tables(all_links=(LO, ETH1)), InterfaceSelection(), None),
        (Tables(held=[held(2, "192.0.2.1/24")]), InterfaceSelection(), None),
        (Tables(held=[held(2, "192.0.2.1/24")]), InterfaceSelection(public_ipv6="2001:db8::1"), IN_USE),
        (Tables(held=[held(3, "192.0.2.1/24"), held(3, "2001:db8::1/64")]), InterfaceSelection(), None),
    ],
)
def test_what_is_in_use_is_kept_while_its_interface_has_the_addresses(
    tables: Tables, wish: InterfaceSelection, found: Underlay | None
) -> None:
    assert underlay.still_valid(tables, wish, IN_USE) == found


@pytest.mark.parametrize(
    ("makeshift", "late"),
    [("169.254.7.7/16", "203.0.113.9/24"), ("fe80::7/64", "2001:db8:7::1/64")],
)
def test_a_link_local_address_is_given_up_when_another_comes_late(makeshift: str, late: str) -> None:
    tables = Tables(held=[held(2, "203.0.113.1/24"), held(2, makeshift)])
    if "." in makeshift:
        tables.held.pop(0)
    now = underlay.choose(tables, InterfaceSelection(names=["eth0"]), dual=":" in makeshift)
    assert underlay.still_valid(tables, InterfaceSelection(names=["eth0"]), now) == now
    tables.held.append(held(2, late))
    assert underlay.still_valid(tables, InterfaceSelection(names=["eth0"]), now) is None
    fresh = underlay.choose(tables, InterfaceSelection(names=["eth0"]), dual=":" in makeshift)
    assert ip_interface(late).ip in fresh.addresses


def test_a_published_address_of_the_interface_is_its_own() -> None:
    chosen = underlay.choose(Tables(), InterfaceSelection(names=["eth1"], public_ip="198.51.100.2"), dual=False)
    assert (str(chosen.public_ip), str(chosen.local)) == ("198.51.100.2", "198.51.100.2")


def test_an_interface_without_mtu_is_unusable() -> None:
    with pytest.raises(Unavailable, match="no usable address"):
        choose(InterfaceSelection(names=("eth0",)), Tables(all_links=(Link(2, "eth0"),)))
