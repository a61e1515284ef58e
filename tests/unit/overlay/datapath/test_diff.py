"""Claims: a missing device is created, an incompatible one replaced, a compatible one kept with only its MAC, a too large or
unfixed MTU and its state corrected; entries are completed in the order ARP, FDB, route; only our own kind of entry on our
own device is taken away, and only routes by a gateway into the network elsewhere; what is as wanted needs nothing; from
one tunnel to another that has other peers only, what they differ in leads, and a peer's changed MAC replaces.
"""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, ip_interface
from typing import Any

import pytest

from kernel.netlink import requests
from kernel.netlink.objects import Address, FdbEntry, Link, Neighbour, Route, VxlanInfo
from overlay.backends import GatewayRoutes, L3Device, UdpForwarding, VxlanDevice, VxlanIdentity
from overlay.datapath import diff
from overlay.datapath.diff import DeviceState

LOCAL, PEER = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
MAC, PEER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
BASE, NET = IPv4Address("10.42.2.0"), IPv4Network("10.42.2.0/24")

WANTED = VxlanDevice(
    device=VxlanIdentity("flannel.1", 1, "eth0", LOCAL, 0),
    mtu=1450,
    mac=MAC,
    learning=False,
    address=IPv4Interface("10.42.1.0/32"),
    network=IPv4Network("10.42.0.0/16"),
    neighbours=frozenset({(BASE, PEER_MAC)}),
    fdb=frozenset({(PEER_MAC, PEER)}),
    routes=frozenset({(NET, BASE)}),
)
VXLAN = VxlanInfo(vni=1, port=8472, local=LOCAL, parent=2, learning=False)
LINK = Link(7, "flannel.1", mac=MAC, mtu=1450, kind="vxlan", up=True, vxlan=VXLAN, arp=False)
ROUTE = Route(NET, BASE, 7, onlink=True, protocol=3)
FOUND = DeviceState(
    addresses=(Address(7, IPv4Interface("10.42.1.0/32")),),
    neighbours=(Neighbour(7, BASE, PEER_MAC, permanent=True),),
    fdb=(FdbEntry(7, PEER_MAC, PEER, permanent=True),),
    routes=(ROUTE,),
)
NOTHING = DeviceState((), (), (), ())
CREATED = (
    requests.AddVxlan("flannel.1", 1, 2, LOCAL, mtu=1450, mac=MAC),
    requests.SetLink("flannel.1", up=True, arp=False),
)


def test_a_missing_device_is_created_and_raised() -> None:
    assert diff.link_requests(WANTED, None, 2) == CREATED


def test_a_device_as_wanted_needs_nothing() -> None:
    assert diff.link_requests(WANTED, LINK, 2) == ()


INCOMPATIBLE = [
    replace(LINK, kind="dummy", vxlan=None),
    replace(LINK, vxlan=replace(VXLAN, vni=2)),
    replace(LINK, vxlan=replace(VXLAN, parent=3)),
    replace(LINK, vxlan=replace(VXLAN, local=PEER)),
    replace(LINK, vxlan=replace(VXLAN, port=4789)),
]


@pytest.mark.parametrize("link", INCOMPATIBLE)
def test_an_incompatible_device_is_replaced(link: Link) -> None:
    assert diff.link_requests(WANTED, link, 2) == (requests.DeleteLink(7), *CREATED)


@pytest.mark.parametrize(
    ("wanted", "link", "needed"),
    [
        (WANTED, replace(LINK, mac=PEER_MAC), (requests.SetLink(7, mac=MAC),)),
        (WANTED, replace(LINK, up=False), (requests.SetLink(7, up=True, arp=False),)),
        (WANTED, replace(LINK, arp=True), (requests.SetLink(7, up=True, arp=False),)),
        (WANTED, replace(LINK, mtu=8950), (requests.SetLink(7, mtu=1450),)),
        (WANTED, replace(LINK, mtu=1400), ()),
        (replace(WANTED, mtu_fixed=True), replace(LINK, mtu=1400), (requests.SetLink(7, mtu=1450),)),
        (replace(WANTED, outgrown=1350), replace(LINK, mtu=1350), (requests.SetLink(7, mtu=1450),)),
        (replace(WANTED, outgrown=1350), replace(LINK, mtu=1400), ()),
        (WANTED, replace(LINK, vxlan=replace(VXLAN, learning=True)), ()),
        (WANTED, replace(LINK, vxlan=replace(VXLAN, parent=0, local=None)), ()),
    ],
)
def test_a_compatible_device_is_kept_and_corrected(
    wanted: VxlanDevice, link: Link, needed: tuple[requests.Request, ...]
) -> None:
    assert diff.link_requests(wanted, link, 2) == needed


def test_entries_as_wanted_need_nothing() -> None:
    assert diff.entry_requests(WANTED, 7, FOUND) == ()


def test_missing_entries_are_added_in_the_order_arp_fdb_route() -> None:
    assert diff.entry_requests(WANTED, 7, NOTHING) == (
        requests.AddAddress(7, IPv4Interface("10.42.1.0/32"), nodad=True),
        requests.AddNeighbour(7, BASE, PEER_MAC),
        requests.AddFdb(7, PEER_MAC, PEER),
        requests.AddRoute(NET, gateway=BASE, link=7, onlink=True, replace=True),
    )


@pytest.mark.parametrize(
    ("found", "needed"),
    [
        (replace(FOUND, neighbours=(Neighbour(7, BASE, MAC, permanent=True),)), 2),
        (replace(FOUND, neighbours=(Neighbour(7, BASE, PEER_MAC, permanent=False),)), 1),
        (replace(FOUND, fdb=(FdbEntry(7, PEER_MAC, LOCAL, permanent=True),)), 2),
        (replace(FOUND, routes=(replace(ROUTE, onlink=False),)), 1),
    ],
)
def test_a_changed_entry_is_put_right(found: DeviceState, needed: int) -> None:
    assert len(diff.entry_requests(WANTED, 7, found)) == needed


GONE = replace(WANTED, neighbours=frozenset(), fdb=frozenset(), routes=frozenset())


def test_entries_of_a_peer_that_left_are_deleted() -> None:
    assert diff.entry_requests(GONE, 7, FOUND) == (
        requests.DeleteRoute(NET, gateway=BASE, link=7),
        requests.DeleteNeighbour(7, BASE),
        requests.DeleteFdb(7, PEER_MAC, PEER),
    )


@pytest.mark.parametrize(
    "found",
    [
        replace(NOTHING, routes=(replace(ROUTE, protocol=2),)),
        replace(NOTHING, routes=(replace(ROUTE, protocol=4),)),
        replace(NOTHING, neighbours=(Neighbour(7, BASE, PEER_MAC, permanent=False),)),
        replace(NOTHING, fdb=(FdbEntry(7, PEER_MAC, None, permanent=True),)),
        replace(NOTHING, addresses=(Address(7, IPv4Interface("198.51.100.1/24")),)),
        replace(NOTHING, addresses=(Address(7, IPv6Interface("fe80::1/64")),)),
    ],
)
def test_entries_that_are_not_of_our_kind_are_left_alone(found: DeviceState) -> None:
    deletions = (requests.DeleteRoute, requests.DeleteNeighbour, requests.DeleteFdb, requests.DeleteAddress)
    assert not [one for one in diff.entry_requests(GONE, 7, found) if isinstance(one, deletions)]


def test_an_address_of_an_earlier_subnet_is_deleted() -> None:
    old = Address(7, IPv4Interface("10.42.9.0/32"))
    found = replace(FOUND, addresses=(*FOUND.addresses, old))
    assert diff.entry_requests(WANTED, 7, found) == (requests.DeleteAddress(7, old.address),)


@pytest.mark.parametrize(("text", "deleted"), [("10.99.1.0/32", True), ("198.51.100.1/24", False)])
def test_the_address_of_an_earlier_range_is_deleted_and_anothers_network_stays(text: str, deleted: bool) -> None:
    other = Address(7, ip_interface(text))
    needed = diff.entry_requests(WANTED, 7, replace(FOUND, addresses=(*FOUND.addresses, other)))
    assert (requests.DeleteAddress(7, other.address) in needed) is deleted
    piped = Address(9, other.address)
    needed = diff.pipe_requests(PIPE, TUN, replace(NOTHING, addresses=(HELD, piped)))
    assert (requests.DeleteAddress(9, other.address) in needed) is deleted


@pytest.mark.parametrize(
    ("text", "deleted"), [("fd99::1/128", True), ("fe80::1/64", False), ("fd00:42:0:1::/128", False)]
)
def test_an_ipv6_device_keeps_its_own_and_link_local_addresses_only(text: str, deleted: bool) -> None:
    six = replace(GONE, address=IPv6Interface("fd00:42:0:1::/128"))
    found = replace(NOTHING, addresses=(Address(7, ip_interface(text)),))
    needed = diff.entry_requests(six, 7, found)
    assert (requests.DeleteAddress(7, ip_interface(text)) in needed) is deleted


DIRECT = GatewayRoutes(frozenset({(NET, PEER, "eth0")}), (IPv4Network("10.42.0.0/16"),))
BY_PEER = Route(NET, PEER, 2, protocol=3)


def test_a_missing_route_by_another_host_is_added() -> None:
    added = requests.AddRoute(NET, gateway=PEER, link=2, replace=True)
    assert diff.direct_requests(DIRECT, {"eth0": 2}, ()) == (added,)


def test_a_route_by_another_host_as_wanted_needs_nothing() -> None:
    assert diff.direct_requests(DIRECT, {"eth0": 2}, (BY_PEER,)) == ()


@pytest.mark.parametrize("change", [{"gateway": LOCAL}, {"link": 3}])
def test_a_changed_route_by_another_host_is_replaced(change: dict[str, Any]) -> None:
    old = replace(BY_PEER, **change)
    deleted, added = diff.direct_requests(DIRECT, {"eth0": 2}, (old,))
    assert deleted == requests.DeleteRoute(NET, gateway=old.gateway, link=old.link)
    assert isinstance(added, requests.AddRoute)


@pytest.mark.parametrize(
    ("route", "stale"),
    [
        (BY_PEER, True),
        (replace(BY_PEER, protocol=4), False),
        (replace(BY_PEER, onlink=True), False),
        (replace(BY_PEER, gateway=None), False),
        (replace(BY_PEER, dst=IPv4Network("10.42.0.0/16")), False),
        (replace(BY_PEER, dst=IPv4Network("10.43.2.0/24")), False),
    ],
)
def test_only_a_gateway_route_into_the_network_is_taken_for_an_earlier_one(route: Route, stale: bool) -> None:
    assert bool(diff.direct_requests(replace(DIRECT, routes=frozenset()), {}, (route,))) is stale


POOL = IPv4Network("10.42.0.0/16")
CARRIER = UdpForwarding(LOCAL, 8285, IPv4Address("10.42.1.0"), IPv4Network("10.42.1.0/24"), frozenset())
PIPE = L3Device("flannel0", 1472, (IPv4Interface("10.42.1.0/32"),), (POOL,), CARRIER)
TUN = Link(9, "flannel0", mtu=1472, kind="tun", up=True)
HELD = Address(9, IPv4Interface("10.42.1.0/32"))
WAY = Route(POOL, None, 9, protocol=3)


def test_a_new_device_gets_mtu_address_and_the_way_of_the_network() -> None:
    assert diff.pipe_requests(PIPE, replace(TUN, mtu=1500, up=False), NOTHING) == (
        requests.SetLink(9, mtu=1472),
        requests.AddAddress(9, IPv4Interface("10.42.1.0/32"), nodad=True),
        requests.SetLink(9, up=True),
        requests.AddRoute(POOL, link=9, replace=True),
    )


def test_a_layer_3_device_as_wanted_needs_nothing() -> None:
    assert diff.pipe_requests(PIPE, TUN, replace(NOTHING, addresses=(HELD,), routes=(WAY,))) == ()


def test_an_earlier_subnets_address_and_network_are_taken_off_the_device() -> None:
    old, own = Address(9, IPv4Interface("10.42.9.0/32")), Address(9, IPv4Interface("198.51.100.1/24"))
    former = replace(WAY, dst=IPv4Network("10.99.0.0/16"))
    found = replace(NOTHING, addresses=(HELD, old, own), routes=(WAY, former))
    assert diff.pipe_requests(PIPE, TUN, found) == (
        requests.DeleteAddress(9, old.address),
        requests.DeleteRoute(former.dst, link=9),
    )


OTHER_MAC, OTHER = "02:00:00:00:00:03", IPv4Address("192.0.2.3")
OTHER_BASE, OTHER_NET = IPv4Address("10.42.3.0"), IPv4Network("10.42.3.0/24")
EXCHANGED = replace(
    WANTED,
    neighbours=frozenset({(OTHER_BASE, OTHER_MAC)}),
    fdb=frozenset({(OTHER_MAC, OTHER)}),
    routes=frozenset({(OTHER_NET, OTHER_BASE)}),
)


def test_from_peers_to_other_peers_what_differs_leads_the_gone_ones_first() -> None:
    assert diff.incremental_requests(WANTED, EXCHANGED, 7) == (
        requests.DeleteRoute(NET, gateway=BASE, link=7),
        requests.DeleteNeighbour(7, BASE),
        requests.DeleteFdb(7, PEER_MAC, PEER),
        requests.AddNeighbour(7, OTHER_BASE, OTHER_MAC),
        requests.AddFdb(7, OTHER_MAC, OTHER),
        requests.AddRoute(OTHER_NET, gateway=OTHER_BASE, link=7, onlink=True, replace=True),
    )
    assert diff.incremental_requests(WANTED, WANTED, 7) == ()


def test_a_changed_mac_replaces_the_neighbour() -> None:
    moved = replace(WANTED, neighbours=frozenset({(BASE, OTHER_MAC)}), fdb=frozenset({(OTHER_MAC, PEER)}))
    assert diff.incremental_requests(WANTED, moved, 7) == (
        requests.DeleteFdb(7, PEER_MAC, PEER),
        requests.AddNeighbour(7, BASE, OTHER_MAC),
        requests.AddFdb(7, OTHER_MAC, PEER),
    )


@pytest.mark.parametrize("change", [{"mac": OTHER_MAC}, {"mtu": 1400}, {"address": IPv4Interface("10.42.7.0/32")}])
def test_more_than_peers_is_no_step(change: dict[str, Any]) -> None:
    assert diff.incremental_requests(WANTED, replace(EXCHANGED, **change), 7) is None
