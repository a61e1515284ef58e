"""Claims: a bridge is raised and gets the gateway address; an address of an earlier lease goes when no port needs it, and is refused
with both when one does; other addresses stay; the derived MAC is local, unicast and the same every time.
"""

from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network

import pytest

from kernel.netlink import requests
from kernel.netlink.objects import Address, Link
from overlay.datapath import gateway_bridge
from overlay.datapath.gateway_bridge import Gateway
from overlay.errors import Unavailable

HERE, EARLIER, OTHER = (IPv4Interface(text) for text in ("10.42.1.1/24", "10.42.9.1/24", "198.51.100.1/24"))
WANTED = Gateway("tulle0", 1450, (HERE,), (IPv4Network("10.42.0.0/16"),))
BRIDGE = Link(5, "tulle0", kind="bridge", up=True)


def difference(*found: IPv4Interface, link: Link = BRIDGE, ports: int = 0) -> tuple[requests.Request, ...]:
    return gateway_bridge.difference(WANTED, link, [Address(5, one) for one in found], ports=ports)


@pytest.mark.parametrize("ports", [0, 3])
def test_a_bridge_as_wanted_needs_nothing(ports: int) -> None:
    assert difference(HERE, OTHER, ports=ports) == ()


def test_a_bare_bridge_is_raised_and_gets_the_gateway_address() -> None:
    expected = (requests.SetLink(5, up=True), requests.AddAddress(5, HERE, nodad=True))
    assert difference(link=replace(BRIDGE, up=False)) == expected


def test_an_earlier_address_goes_when_no_port_needs_it() -> None:
    assert difference(EARLIER) == (requests.DeleteAddress(5, EARLIER), requests.AddAddress(5, HERE, nodad=True))


def test_an_earlier_address_with_ports_is_refused_with_both() -> None:
    with pytest.raises(Unavailable, match=r"tulle0 still has 10.42.9.1/24 and 2 ports, the lease is 10.42.1.1/24"):
        difference(EARLIER, ports=2)


def test_the_derived_mac_is_local_unicast_and_stable() -> None:
    mac = gateway_bridge.bridge_mac(WANTED)
    assert int(mac[:2], 16) & 3 == 2
    assert mac == gateway_bridge.bridge_mac(replace(WANTED, mtu=1400))
