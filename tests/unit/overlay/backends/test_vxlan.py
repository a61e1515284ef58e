"""Claims: names, options and MTU are flannel's (docs/reference/flannel.md 5.1, 1.2); the derived MAC never changes; what is published is
the kept MAC or the derived one; every usable peer becomes ARP, FDB and route, in both families; a peer that could harm
this host is left out with its reason; with DirectRouting a peer on a link of ours needs no tunnel.
"""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

import pytest

from overlay.backends import GatewayRoutes, Underlay, VxlanDevice, VxlanIdentity, vxlan
from overlay.config import network
from overlay.config.network import NetworkConfig
from overlay.errors import Refused, Unavailable
from overlay.subnet import allocation
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease
from system.ip import IPAddress

ME = Underlay("eth0", 1500, IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1"))
V6 = '"EnableIPv6": true, "IPv6Network": "fd00:42::/48",'
MAC = "c6:d2:32:6f:8f:44"


def config(backend: str = "", more: str = "") -> NetworkConfig:
    text = f'{{"Network": "10.42.0.0/16", {more} "Backend": {{"Type": "vxlan"{backend}}}}}'
    return network.parse(text, "net.json")


def peer(
    key: str, public: str = "192.0.2.2", data: str = f'{{"VNI":1,"VtepMAC":"{MAC}"}}', kind: str = "vxlan"
) -> Lease:
    return Lease(allocation.parse_key(key), Attributes(IPv4Address(public), None, kind, data))


BACKEND = vxlan.Vxlan(config(), ME, {})
OWN = Lease(allocation.parse_key("10.42.1.0-24"), BACKEND.attributes(allocation.parse_key("10.42.1.0-24")))


def tunnel(*peers: Lease) -> VxlanDevice:
    (only,) = BACKEND.desired(OWN, peers).tunnels
    return only


def test_the_derived_mac_is_part_of_the_contract_and_never_changes() -> None:
    assert vxlan.derived_mac(1, IPv4Network("10.42.1.0/24")) == "a2:d8:fc:7f:52:3d"
    assert vxlan.derived_mac(7, IPv6Network("fd00:42:0:1::/64")) == "96:72:dc:8b:63:ee"


@pytest.mark.parametrize("number", range(64))
def test_a_derived_mac_is_local_and_unicast(number: int) -> None:
    first = int(vxlan.derived_mac(1, IPv4Network((0x0A2A0000 + 256 * number, 24)))[:2], 16)
    assert first & 3 == 2


def test_a_new_device_publishes_the_derived_mac() -> None:
    assert OWN.attributes.backend_data == '{"VNI":1,"VtepMAC":"a2:d8:fc:7f:52:3d"}'
    assert OWN.attributes == vxlan.derived(config(), OWN.subnet, ME.public_ip, ME.public_ipv6)


def test_a_kept_device_publishes_its_own_mac() -> None:
    kept = vxlan.Vxlan(config(), ME, {"flannel.1": MAC})
    assert kept.attributes(OWN.subnet).backend_data == f'{{"VNI":1,"VtepMAC":"{MAC}"}}'


def test_the_device_is_flannels() -> None:
    assert tunnel() == VxlanDevice(
        device=VxlanIdentity("flannel.1", 1, "eth0", IPv4Address("192.0.2.1"), 0),
        mtu=1450,
        mac="a2:d8:fc:7f:52:3d",
        learning=False,
        address=IPv4Interface("10.42.1.0/32"),
        network=IPv4Network("10.42.0.0/16"),
    )


def test_a_peer_becomes_arp_fdb_and_route() -> None:
    wanted, base = tunnel(peer("10.42.2.0-24")), IPv4Address("10.42.2.0")
    assert wanted.neighbours == {(base, MAC)}
    assert wanted.fdb == {(MAC, IPv4Address("192.0.2.2"))}
    assert wanted.routes == {(IPv4Network("10.42.2.0/24"), base)}


@pytest.mark.parametrize("form", ["C6:D2:32:6F:8F:44", "c6-d2-32-6f-8f-44", "c6d2.326f.8f44"])
def test_a_mac_is_read_in_every_form_go_reads(form: str) -> None:
    assert tunnel(peer("10.42.2.0-24", data=f'{{"VtepMAC":"{form}"}}')).fdb == {(MAC, IPv4Address("192.0.2.2"))}


def test_a_lease_of_another_backend_is_not_ours() -> None:
    assert BACKEND.desired(OWN, [peer("10.42.2.0-24", kind="host-gw")]).unusable == ()
    assert tunnel(peer("10.42.2.0-24", kind="host-gw")).routes == frozenset()


HARMFUL = [
    (peer("0.0.0.0-0"), "overlaps this host's own"),
    (peer("10.42.1.128-25"), "overlaps this host's own"),
    (peer("10.43.2.0-24"), "outside 10.42.0.0/16"),
    (peer("10.42.2.0-24", public="192.0.2.1"), "this host's own"),
    (peer("10.42.2.0-24", public="0.0.0.0"), "no host's address"),
    (peer("10.42.2.0-24", public="127.0.0.1"), "no host's address"),
    (peer("10.42.2.0-24", public="224.0.0.1"), "no host's address"),
    (peer("10.42.2.0-24", public="255.255.255.255"), "no host's address"),
    (peer("10.42.2.0-24", data=""), "no usable VtepMAC: absent"),
    (peer("10.42.2.0-24", data="17"), "no usable VtepMAC"),
    (peer("10.42.2.0-24", data='{"VtepMAC":5}'), "no usable VtepMAC"),
    (peer("10.42.2.0-24", data='{"VtepMAC":"01:00:5e:00:00:01"}'), "no usable VtepMAC"),
    (peer("10.42.2.0-24", data='{"VtepMAC":"00:00:00:00:00:00"}'), "no usable VtepMAC"),
    (peer("10.42.2.0-24", data='{"VtepMAC":"c6:d2:32:6f:8f"}'), "no usable VtepMAC"),
    (peer("10.42.2.0-24", data='{"VtepMAC":"a2:d8:fc:7f:52:3d"}'), "is also that of 10.42.1.0/24"),
]


@pytest.mark.parametrize(("lease", "reason"), HARMFUL)
def test_a_peer_that_could_harm_this_host_is_left_out(lease: Lease, reason: str) -> None:
    desired = BACKEND.desired(OWN, [lease])
    assert desired.tunnels[0].routes == frozenset()
    assert reason in desired.unusable[0]


def wire(address: IPAddress) -> str:
    return {"192.0.2.2": "eth1", "192.0.2.3": "flannel.1"}.get(str(address), "")


def test_direct_routing_takes_peers_on_a_link_of_ours_out_of_the_tunnel() -> None:
    direct = vxlan.Vxlan(config(', "DirectRouting": true'), ME, {})
    near, far = peer("10.42.2.0-24"), peer("10.42.4.0-24", "198.51.100.4", '{"VtepMAC":"02:00:00:00:00:04"}')
    wanted = direct.desired(OWN, [near, far], wire)
    routes = {(IPv4Network("10.42.2.0/24"), IPv4Address("192.0.2.2"), "eth1")}
    assert wanted.direct == GatewayRoutes(frozenset(routes), (IPv4Network("10.42.0.0/16"),))
    assert wanted.tunnels[0].fdb == {("02:00:00:00:00:04", IPv4Address("198.51.100.4"))}


def test_a_peer_behind_the_tunnel_itself_is_not_direct() -> None:
    wanted = vxlan.Vxlan(config(', "DirectRouting": true'), ME, {}).desired(
        OWN, [peer("10.42.2.0-24", "192.0.2.3")], wire
    )
    assert (len(wanted.tunnels[0].fdb), wanted.direct) == (
        1,
        GatewayRoutes(frozenset(), (IPv4Network("10.42.0.0/16"),)),
    )


def test_every_usable_peer_and_nobody_else_may_send_to_the_tunnel() -> None:
    guard = BACKEND.desired(OWN, [peer("10.42.2.0-24"), peer("10.43.2.0-24", "192.0.2.9")]).guard
    assert guard is not None
    assert (guard.name, guard.ports, guard.vni, guard.underlay) == ("1", (8472,), 1, "eth0")
    public = IPv4Address("192.0.2.2")
    assert guard.sources == {(public, IPv4Network("10.42.2.0/24"))}
    assert guard.peers == {public}


def test_without_direct_routing_no_route_by_others_is_judged() -> None:
    assert BACKEND.desired(OWN, [peer("10.42.2.0-24")], wire).direct is None


def test_of_two_peers_with_one_mac_the_first_is_reached() -> None:
    wanted = tunnel(peer("10.42.2.0-24"), peer("10.42.3.0-24", "192.0.2.3"))
    assert wanted.routes == {(IPv4Network("10.42.2.0/24"), IPv4Address("10.42.2.0"))}


DUAL = vxlan.Vxlan(config(more=V6), ME, {})
DUAL_SUBNET = allocation.parse_key("10.42.1.0-24&fd00:42:0:1::-64")
DUAL_OWN = Lease(DUAL_SUBNET, DUAL.attributes(DUAL_SUBNET))


def test_dual_stack_has_a_second_device_with_its_own_mac() -> None:
    four, six = DUAL.desired(DUAL_OWN, []).tunnels
    assert (six.device.name, six.device.local) == ("flannel-v6.1", IPv6Address("2001:db8::1"))
    assert six.address == IPv6Interface("fd00:42:0:1::/128")
    assert six.mac != four.mac


def test_a_dual_stack_peer_is_reached_in_both_families() -> None:
    values = Attributes(
        IPv4Address("192.0.2.2"),
        IPv6Address("2001:db8::2"),
        "vxlan",
        f'{{"VtepMAC":"{MAC}"}}',
        '{"VtepMAC":"02:00:00:00:00:02"}',
    )
    other = Lease(Subnet(IPv4Network("10.42.2.0/24"), IPv6Network("fd00:42:0:2::/64")), values)
    four, six = DUAL.desired(DUAL_OWN, [other]).tunnels
    assert four.routes == {(IPv4Network("10.42.2.0/24"), IPv4Address("10.42.2.0"))}
    assert six.fdb == {("02:00:00:00:00:02", IPv6Address("2001:db8::2"))}


def test_a_peer_without_ipv6_data_is_reached_in_ipv4_only() -> None:
    four, six = DUAL.desired(DUAL_OWN, [peer("10.42.2.0-24&fd00:42:0:2::-64")]).tunnels
    assert (len(four.routes), len(six.routes)) == (1, 0)


@pytest.mark.parametrize(
    ("backend", "more", "problem"),
    [
        (', "VNI": 0', "", "Backend.VNI is 0.*1 to 16777215"),
        (', "VNI": "1"', "", "not a number"),
        (', "VNI": 10000000', "", "no link can be called flannel.10000000"),
        (', "VNI": 10000', V6, "no link can be called flannel-v6.10000; take a VNI below 10000"),
        (', "Port": 65536', "", "Backend.Port"),
        (', "GBP": true', "", "GBP is true: packet marks in the VXLAN header need a policy"),
        (', "MTU": 60', "", "Backend.MTU is 60: too little"),
        (', "MTU": 1300', V6, "it must be 1330 or more"),
    ],
)
def test_impossible_options_are_refused(backend: str, more: str, problem: str) -> None:
    with pytest.raises(Refused, match=problem):
        vxlan.Vxlan(config(backend, more), ME, {})


def test_an_interface_whose_mtu_is_too_small_may_get_another() -> None:
    with pytest.raises(
        Unavailable, match="the MTU of eth0 is 100: too little is left inside the tunnel; it must be 118"
    ):
        vxlan.Vxlan(config(), Underlay("eth0", 100, ME.public_ip), {})


def test_dual_stack_needs_an_ipv6_underlay() -> None:
    with pytest.raises(Unavailable, match="eth0 has no IPv6 address"):
        vxlan.Vxlan(config(more=V6), Underlay("eth0", 1500, ME.public_ip), {})


def test_a_configured_mtu_is_the_underlays_and_fixed() -> None:
    (wanted,) = vxlan.Vxlan(config(', "MTU": 1400'), ME, {}).desired(OWN, []).tunnels
    assert (wanted.mtu, wanted.mtu_fixed) == (1350, True)
