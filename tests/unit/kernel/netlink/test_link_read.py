"""Claims about kernel.netlink.link_read: what it reads is what pyroute2's classes would say, and what it asks is what they would ask.

- a port's settings, a bridge's and a vxlan's are read; off a bridge there are none; accept_ra is read where there is IPv6
- the namespace of a veth's other end is read as its number here, and is none where it is this one
- the VLANs of a port are read with their flags; a port without any has none
- a new link's name holds no %, which the kernel would replace
- a name that is no UTF-8 is escaped; a link without a MAC address has none
- a message that is cut short, and a name or index the kernel cannot have, are refused
"""

import struct
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from kernel.netlink import link_read, link_write
from kernel.netlink.objects import BridgeInfo, Link, VxlanInfo
from kernel.netlink.requests import AddVlans, Vlan
from tests.unit.kernel import pyroute2_encoding as theirs

Attributes = list[tuple[str, Any]]


def told(attributes: Attributes, **fields: int) -> bytes:
    """A link message as pyroute2 writes it."""
    return bytes(theirs.message(ifinfmsg, 16, 0, {"ifi_type": 1, "index": 7, **fields}, attributes))


def nest(kind: str, data: Attributes, **more: Any) -> tuple[str, Any]:
    info: Attributes = [("IFLA_INFO_KIND", kind), ("IFLA_INFO_DATA", {"attrs": data})]
    return "IFLA_LINKINFO", {"attrs": [*info, *more.items()]}


def test_what_every_link_says_is_read() -> None:
    attributes: Attributes = [("IFLA_IFNAME", "veth1"), ("IFLA_ADDRESS", "02:00:00:00:00:0a"), ("IFLA_MTU", 1450)]
    attributes += [("IFLA_LINK", 2), ("IFLA_MASTER", 3), ("IFLA_OPERSTATE", "UP"), ("IFLA_IFALIAS", "net/id/eth0")]
    attributes += [("IFLA_PROMISCUITY", 1), nest("veth", [])]
    expected = Link(7, "veth1", "02:00:00:00:00:0a", 1450, "veth", up=True, operstate="up", master=3, peer=2)
    expected = replace(expected, alias="net/id/eth0", promiscuous=1)
    assert link_read.read(told(attributes, flags=1)) == expected


def test_only_a_veths_other_end_is_a_peer() -> None:
    assert link_read.read(told([("IFLA_LINK", 2), nest("vlan", [])])).peer == 0


def test_a_port_says_how_it_is_set() -> None:
    mode, isolated = struct.pack("=HHBxxx", 5, 4, 1), struct.pack("=HHBxxx", 5, 33, 0)
    kind = struct.pack("=HH8s", 11, 4, b"bridge\0")
    data = struct.pack("=HH", 20, 5) + mode + isolated
    read = link_read.read(told([]) + struct.pack("=HH", 4 + len(kind) + len(data), 18) + kind + data)
    assert (read.hairpin, read.isolated) == (True, False)


def test_off_a_bridge_there_are_no_port_settings() -> None:
    read = link_read.read(told([nest("veth", [])]))
    assert (read.hairpin, read.isolated, read.bridge, read.vxlan) == (None, None, None, None)


@pytest.mark.parametrize("pvid", [0, 1, None])
def test_a_bridge_says_how_it_treats_vlans(pvid: int | None) -> None:
    default = [] if pvid is None else [("IFLA_BR_VLAN_DEFAULT_PVID", pvid)]
    read = link_read.read(told([nest("bridge", [("IFLA_BR_VLAN_FILTERING", 1), *default])]))
    assert read.bridge == BridgeInfo(vlan_filtering=True, default_pvid=pvid)


@pytest.mark.parametrize(("name", "local"), [("IFLA_VXLAN_LOCAL", "192.0.2.1"), ("IFLA_VXLAN_LOCAL6", "2001:db8::1")])
def test_a_vxlan_says_what_makes_it_compatible(name: str, local: str) -> None:
    data = [("IFLA_VXLAN_ID", 5), ("IFLA_VXLAN_PORT", 8472), (name, local), ("IFLA_VXLAN_LINK", 2)]
    read = link_read.read(told([nest("vxlan", [*data, ("IFLA_VXLAN_LEARNING", 1)])]))
    assert read.vxlan == VxlanInfo(5, 8472, ip_address(local), 2, learning=True)


@pytest.mark.parametrize(("accept_ra", "expected"), [(0, False), (1, True), (2, True)])
def test_a_link_says_whether_it_heeds_router_advertisements(accept_ra: int, *, expected: bool) -> None:
    settings = struct.pack("=HH3ii", 20, link_read.IFLA_INET6_CONF, 0, 64, 1500, accept_ra)
    families = struct.pack("=HHI", 8, 2, 0) + struct.pack("=HH", 4 + len(settings), 10) + settings
    assert link_read.read(told([]) + struct.pack("=HH", 4 + len(families), 26) + families).advised is expected


def test_a_link_without_ipv6_says_nothing_of_router_advertisements() -> None:
    assert link_read.read(told([])).advised is None


def test_a_name_that_is_no_text_is_escaped() -> None:
    raw = told([]) + struct.pack("=HH4s", 8, 3, b"ab\xff\0")
    assert link_read.read(raw).name == r"ab\xff"


def test_a_link_without_a_mac_has_none() -> None:
    assert link_read.read(told([("IFLA_ADDRESS", "0a:00:00:01:00:00")], ifi_type=768)).mac == ""


@pytest.mark.parametrize("data", [b"", bytes(31), told([]) + b"\xff\xff\x03\x00", told([]) + b"\x02\x00\x03\x00"])
def test_a_message_cut_short_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, struct.error)):
        link_read.read(data)


@pytest.mark.parametrize("link", ["eth0", "fifteen-letters", 7])
def test_a_question_is_the_one_pyroute2_would_put(link: int | str) -> None:
    fields, selector = theirs.link_selector(link)
    mask: Attributes = [("IFLA_EXT_MASK", link_read.SKIP_STATS)]
    assert link_read.get(link) == theirs.message(ifinfmsg, link_read.RTM_GETLINK, 0, fields, [*selector, *mask])


def test_the_question_for_all_links_is_the_one_pyroute2_would_put() -> None:
    mask: Attributes = [("IFLA_EXT_MASK", link_read.SKIP_STATS)]
    assert link_read.dump() == theirs.message(ifinfmsg, link_read.RTM_GETLINK, theirs.NLM_F_DUMP, {}, mask)


def test_the_question_for_vlans_is_the_one_pyroute2_would_put() -> None:
    mask: Attributes = [("IFLA_EXT_MASK", link_read.BRIDGE_VLANS)]
    fields = {"family": theirs.AF_BRIDGE}
    assert link_read.dump_vlans() == theirs.message(ifinfmsg, link_read.RTM_GETLINK, theirs.NLM_F_DUMP, fields, mask)


MEMBERS = st.builds(Vlan, st.integers(1, 4094), pvid=st.booleans(), untagged=st.booleans())


@given(st.lists(MEMBERS, max_size=50), st.integers(1, 2**31 - 1))
def test_the_vlans_of_a_port_are_read(vlans: list[Vlan], index: int) -> None:
    written = bytes(link_write.add_vlans(AddVlans(index, tuple(vlans))))
    assert link_read.read_vlans(written) == (index, tuple(vlans))


def test_a_port_without_vlans_has_none() -> None:
    assert link_read.read_vlans(told([("IFLA_IFNAME", "veth1")])) == (7, ())


@pytest.mark.parametrize("link", ["", ".", "..", "a/b", "a:b", "a b", "a\0", "sixteen--letters", 0, -1, 2**31])
def test_what_no_link_can_be_called_is_refused(link: int | str) -> None:
    with pytest.raises(ValueError, match="no link"):
        link_read.get(link)


@pytest.mark.parametrize(
    ("attributes", "number"), [([], None), ([("IFLA_LINK_NETNSID", 0)], 0), ([("IFLA_LINK_NETNSID", 7)], 7)]
)
def test_the_namespace_of_the_other_end_is_read(attributes: Attributes, number: int | None) -> None:
    assert link_read.read(told([("IFLA_IFNAME", "veth1"), *attributes])).peer_space == number


@pytest.mark.parametrize(("told_number", "number"), [(-1, None), (0, 0), (3, 3)])
def test_the_number_of_a_namespace_is_read(told_number: int, number: int | None) -> None:
    answer = struct.pack("=IHHII", 28, 88, 0, 1, 0) + bytes(4) + struct.pack("=HHi", 8, 1, told_number)
    assert link_read.read_space(answer) == number


@pytest.mark.parametrize("name", ["eth%d", "%d", "a%", "%"])
def test_a_new_link_has_no_percent_sign_in_its_name(name: str) -> None:
    with pytest.raises(ValueError, match="would put a number"):
        link_read.new_name(name)
    assert link_read.checked_name(name) == name
