"""Claims: port properties of a link that joins a bridge go in a second message; what is not given is not written; a link to be made
is never one that is there. (That every message is what pyroute2 writes: test_encoding.)
"""

import pytest

from kernel.netlink import link_write
from kernel.netlink import message as frames
from kernel.netlink.link_read import BODY, IFLA_ADDRESS, IFLA_IFNAME, IFLA_LINKINFO, IFLA_MASTER, IFLA_MTU
from kernel.netlink.requests import AddBridge, AddIfb, AddVeth, AddWireguard, SetLink

BEHIND = frames.HEADER.size + BODY.size


def written(message: bytearray) -> frames.Attributes:
    return frames.attributes(bytes(message), BEHIND)


def test_port_properties_follow_the_joining() -> None:
    joining, port = link_write.set_link(SetLink("v0", master=3, hairpin=True))
    assert written(joining).keys() == {IFLA_IFNAME, IFLA_MASTER}
    assert written(port).keys() == {IFLA_IFNAME, IFLA_LINKINFO}


def test_port_properties_of_a_port_need_no_second_message() -> None:
    (message,) = link_write.set_link(SetLink(7, hairpin=True, isolated=False))
    assert written(message).keys() == {IFLA_LINKINFO}


def test_leaving_a_bridge_is_a_master_of_zero() -> None:
    (message,) = link_write.set_link(SetLink(7, master=0))
    assert written(message) == {IFLA_MASTER: bytes(4)}


@pytest.mark.parametrize(("mtu", "mac", "more"), [(0, "", set()), (9, "02:00:00:00:00:07", {IFLA_MTU, IFLA_ADDRESS})])
def test_what_is_not_given_is_not_written(mtu: int, mac: str, more: set[int]) -> None:
    assert written(link_write.add_bridge(AddBridge("b0", mtu, mac))).keys() == {IFLA_IFNAME, IFLA_LINKINFO, *more}


def test_a_link_to_be_made_is_none_that_is_there() -> None:
    made = [link_write.add_bridge(AddBridge("b0")), link_write.add_veth(AddVeth("v0", "eth0", None))]
    made += [link_write.add_wireguard(AddWireguard("wg0")), link_write.add_ifb(AddIfb("i0"))]
    wanted = frames.NLM_F_REQUEST | frames.CREATE | frames.EXCL
    assert [frames.HEADER.unpack_from(message)[2] for message in made] == [wanted] * 4


@pytest.mark.parametrize("mac", ["", "02:00", "02:00:00:00:00:0g", "02:00:00:00:00:07:08", "02-00-00-00-00-07"])
def test_what_is_no_mac_is_refused(mac: str) -> None:
    with pytest.raises(ValueError, match="is no MAC address"):
        link_write.packed_mac(mac)
