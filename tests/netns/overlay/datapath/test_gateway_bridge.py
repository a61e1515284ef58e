"""Claims: the bridge is made with its derived MAC, gateway address and MTU, and a service can bind to the address at once; the next
look changes nothing; an earlier lease's address is replaced; a link of that name that is no bridge is refused.
"""

import sys
from ipaddress import IPv4Interface, IPv4Network

import pytest

from kernel.netlink.requests import AddVeth
from overlay.datapath import gateway_bridge
from overlay.datapath.gateway_bridge import Gateway
from overlay.errors import Unavailable
from tests.netns.spaces import Space

NETWORKS = (IPv4Network("10.42.0.0/16"),)
WANTED = Gateway("tulle0", 1450, (IPv4Interface("10.42.1.1/24"),), NETWORKS)
LATER = Gateway("tulle0", 1450, (IPv4Interface("10.42.9.1/24"),), NETWORKS)


def test_a_service_can_bind_to_the_gateway_at_once(host: Space) -> None:
    assert len(gateway_bridge.keep(host.network, WANTED)) == 2
    host.run(sys.executable, "-c", "import socket; socket.socket().bind(('10.42.1.1', 80))")
    link = host.network.link("tulle0")
    assert link is not None
    assert (link.mac, link.mtu, link.up) == (gateway_bridge.bridge_mac(WANTED), 1450, True)


def test_the_next_look_changes_nothing(host: Space) -> None:
    gateway_bridge.keep(host.network, WANTED)
    assert gateway_bridge.keep(host.network, WANTED) == ()


def test_an_earlier_leases_address_is_replaced(host: Space) -> None:
    gateway_bridge.keep(host.network, WANTED)
    gateway_bridge.keep(host.network, LATER)
    held = {entry.address for entry in host.network.addresses(host.index("tulle0")) if entry.address.version == 4}
    assert held == set(LATER.addresses)


def test_with_a_port_the_earlier_address_stays_and_is_said(host: Space, container: Space) -> None:
    gateway_bridge.keep(host.network, WANTED)
    host.network.apply(AddVeth("port", "eth0", container.namespace, master=host.index("tulle0")))
    with pytest.raises(Unavailable, match=r"10.42.1.1/24 and 1 ports"):
        gateway_bridge.keep(host.network, LATER)


def test_a_link_that_is_no_bridge_is_refused(host: Space) -> None:
    host.network.apply(AddVeth("tulle0", "other", None))
    with pytest.raises(Unavailable, match="tulle0 is no bridge"):
        gateway_bridge.keep(host.network, WANTED)
