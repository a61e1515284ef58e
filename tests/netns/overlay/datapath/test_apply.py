"""Claims: from what stands to what is wanted the steps alone lead to the same kernel, and a device that is gone asks for a whole look;
one pass builds the device and every entry, the next one changes nothing; a peer's new MAC and address replace the old ones;
hundreds of peers take one pass; routes by other hosts follow their gateways, each for itself; a missing underlay is reported, not raised; kept MACs are those of compatible devices.
"""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

import pytest

from kernel import netns
from kernel.netlink.requests import AddAddress, AddBridge, DeleteLink
from overlay.backends import Desired, GatewayRoutes, VxlanDevice, VxlanIdentity
from overlay.datapath import apply
from overlay.datapath.l3_device import L3Devices
from tests.netns.spaces import Space

LOCAL = IPv4Address("192.0.2.1")
DEVICE = VxlanIdentity("flannel.1", 1, "under0", LOCAL, 0)


def tunnel(*peers: int, mac: str = "02:00:00:00:10:{:02x}", public: str = "192.0.2.{}") -> VxlanDevice:
    nets = {number: IPv4Network((0x0A2A0000 + 256 * number, 24)) for number in peers}
    macs = {number: mac.format(number % 256) for number in peers}
    return VxlanDevice(
        device=DEVICE,
        mtu=1450,
        mac="02:00:00:00:00:01",
        learning=False,
        address=IPv4Interface("10.42.1.0/32"),
        network=IPv4Network("10.42.0.0/16"),
        neighbours=frozenset((net.network_address, macs[number]) for number, net in nets.items()),
        fdb=frozenset((macs[number], IPv4Address(public.format(number % 256))) for number in peers),
        routes=frozenset((net, net.network_address) for net in nets.values()),
    )


@pytest.fixture
def under(host: Space) -> Space:
    host.network.apply(AddBridge("under0"))
    host.network.apply(AddAddress(host.index("under0"), IPv4Interface("192.0.2.1/24")))
    return host


def converge(space: Space, *tunnels: VxlanDevice) -> apply.SyncReport:
    with netns.inside(space.namespace):
        return apply.full_sync(space.network, Desired(tunnels), L3Devices("x"))


def test_one_pass_builds_all_and_the_next_changes_nothing(under: Space) -> None:
    first = converge(under, tunnel(2, 3))
    assert (first.failed, first.mtu, len(first.changed)) == ((), 1450, 9)
    assert converge(under, tunnel(2, 3)) == apply.SyncReport((), (), 1450)


def test_the_kernel_shows_flannels_device_and_route(under: Space) -> None:
    converge(under, tunnel(2))
    shown = under.run("ip", "-d", "link", "show", "flannel.1")
    assert "vxlan id 1 local 192.0.2.1 dev under0 srcport 0 0 dstport 8472 nolearning" in shown
    assert under.run("ip", "route", "show", "dev", "flannel.1").split() == [
        "10.42.2.0/24",
        "via",
        "10.42.2.0",
        "onlink",
    ]
    assert "02:00:00:00:10:02 dst 192.0.2.2 self permanent" in under.run("bridge", "fdb", "show", "dev", "flannel.1")
    assert "lladdr 02:00:00:00:10:02 PERMANENT" in under.run("ip", "neighbour", "show", "dev", "flannel.1")


def test_the_device_takes_no_addresses_from_the_wire(under: Space) -> None:
    converge(under, tunnel())
    assert under.run("cat", "/proc/sys/net/ipv6/conf/flannel.1/accept_ra") == "0\n"


def test_a_peers_new_mac_and_address_replace_the_old(under: Space) -> None:
    converge(under, tunnel(2))
    changed = tunnel(2, mac="02:00:00:00:20:{:02x}", public="198.51.100.{}")
    assert converge(under, changed).failed == ()
    index = under.index("flannel.1")
    assert [(entry.mac, str(entry.dst)) for entry in under.network.fdb(index)] == [
        ("02:00:00:00:20:02", "198.51.100.2")
    ]
    assert converge(under, changed).changed == ()


def test_hundreds_of_peers_take_one_pass(under: Space) -> None:
    many = tunnel(*range(2, 252))
    assert len(converge(under, many).changed) == 3 + 3 * 250
    assert converge(under, many).changed == ()
    assert len(converge(under, tunnel()).changed) == 3 * 250


def test_both_families_stand_side_by_side(under: Space) -> None:
    under.network.apply(AddAddress(under.index("under0"), IPv6Interface("2001:db8::1/64"), nodad=True))
    base = IPv6Address("fd00:42:0:2::")
    six = VxlanDevice(
        device=VxlanIdentity("flannel-v6.1", 1, "under0", IPv6Address("2001:db8::1"), 0),
        mtu=1450,
        mac="02:00:00:00:00:06",
        learning=False,
        address=IPv6Interface("fd00:42:0:1::/128"),
        network=IPv6Network("fd00:42::/48"),
        neighbours=frozenset({(base, "02:00:00:00:10:06")}),
        fdb=frozenset({("02:00:00:00:10:06", IPv6Address("2001:db8::2"))}),
        routes=frozenset({(IPv6Network("fd00:42:0:2::/64"), base)}),
    )
    assert converge(under, tunnel(2), six).failed == ()
    assert converge(under, tunnel(2), six).changed == ()
    assert "fd00:42:0:2::/64 via fd00:42:0:2:: dev flannel-v6.1" in under.run("ip", "-6", "route")


def test_a_missing_underlay_is_reported(under: Space) -> None:
    converge(under, tunnel(2))
    under.network.apply(DeleteLink("under0"))
    report = converge(under, tunnel(2))
    assert (report.mtu, report.failed) == (0, ("finding under0, the interface below flannel.1: No such device",))


def test_kept_macs_are_those_of_compatible_devices(under: Space) -> None:
    assert apply.kept_macs(under.network, [DEVICE]) == {}
    converge(under, tunnel())
    assert apply.kept_macs(under.network, [DEVICE]) == {"flannel.1": "02:00:00:00:00:01"}
    assert apply.kept_macs(under.network, [replace(DEVICE, port=4789)]) == {}


def test_an_incompatible_device_is_replaced(under: Space) -> None:
    converge(under, tunnel())
    moved = replace(tunnel(), device=replace(DEVICE, port=4789))
    assert converge(under, moved).failed == ()
    assert "dstport 4789" in under.run("ip", "-d", "link", "show", "flannel.1")


NET = IPv4Network("10.42.2.0/24")


def by(*gateways: str, link: str = "under0") -> Desired:
    routes = {
        (IPv4Network((int(NET.network_address) + 256 * n, 24)), IPv4Address(one), link)
        for n, one in enumerate(gateways)
    }
    return Desired(direct=GatewayRoutes(frozenset(routes), (IPv4Network("10.42.0.0/16"),)))


def settle(space: Space, desired: Desired) -> apply.SyncReport:
    with netns.inside(space.namespace):
        return apply.full_sync(space.network, desired, L3Devices("x"))


def test_routes_by_other_hosts_follow_their_gateways(under: Space) -> None:
    assert (
        len(settle(under, by("192.0.2.2", "192.0.2.3")).changed),
        settle(under, by("192.0.2.2", "192.0.2.3")).changed,
    ) == (2, ())
    settle(under, by("192.0.2.9"))
    assert under.run("ip", "route", "show", "root", "10.42.0.0/16").split() == [
        "10.42.2.0/24",
        "via",
        "192.0.2.9",
        "dev",
        "under0",
    ]


def test_one_impossible_gateway_does_not_keep_the_others_out(under: Space) -> None:
    report = settle(under, by("198.51.100.1", "192.0.2.3"))
    assert (len(report.changed), len(report.failed), report.mtu) == (1, 1, apply.HIGHEST_MTU)


def test_a_gateway_on_a_link_that_is_gone_is_reported(under: Space) -> None:
    assert settle(under, by("192.0.2.2", link="eth9")).failed == (
        "finding eth9, the link to other hosts: no such device",
    )


def test_reach_names_the_link_of_an_address_without_gateway(under: Space) -> None:
    under.run("ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.254")
    reach = apply.reach(under.network)
    assert [reach(IPv4Address(one)) for one in ("192.0.2.7", "198.51.100.7", "203.0.113.7", "192.0.2.1")] == [
        "under0",
        "",
        "",
        "",
    ]


def advance(space: Space, before: VxlanDevice, after: VxlanDevice) -> apply.SyncReport | None:
    return apply.incremental_sync(space.network, Desired((before,)), Desired((after,)))


def test_steps_lead_to_the_same_kernel_as_a_whole_look(under: Space) -> None:
    before, after = (
        tunnel(2, 3, 4),
        replace(tunnel(3, 5), neighbours=tunnel(3, 5, mac="02:00:00:00:20:{:02x}").neighbours),
    )
    converge(under, before)
    report = advance(under, before, after)
    assert report is not None
    assert (report.failed, report.mtu) == ((), 1450)
    assert converge(under, after) == apply.SyncReport((), (), 1450)


def test_steps_on_a_device_that_is_gone_are_none(under: Space) -> None:
    converge(under, tunnel(2))
    under.network.apply(DeleteLink("flannel.1"))
    assert advance(under, tunnel(2), tunnel(3)) is None
    assert advance(under, tunnel(2), replace(tunnel(3), mtu=1400)) is None


def test_a_refused_step_is_reported(under: Space) -> None:
    converge(under, tunnel(2))
    broken = replace(tunnel(2, 3), routes=frozenset({(IPv4Network("10.42.3.0/24"), IPv4Address("224.0.0.1"))}))
    report = advance(under, tunnel(2), broken)
    assert report is not None
    assert len(report.failed) == 1
