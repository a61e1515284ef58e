"""Claims about kernel.netlink.conntrack with the real kernel.

- flows to a port are forgotten, those to other ports or of another protocol stay
- with an address only the flows to it are forgotten, of either family
- with a server only the flows that it answers are forgotten
- forgetting nothing is no error, and twice is fine
"""

import socket
from ipaddress import ip_address, ip_interface

import pytest

from kernel import netns
from kernel.netlink import conntrack
from kernel.netlink.conntrack import FlowFilter
from kernel.netlink.requests import AddAddress
from tests.netns.spaces import Space


@pytest.fixture
def tracking(host: Space) -> Space:
    """A host that tracks connections, with a second address."""
    host.run(
        "nft",
        "add table inet t; add chain inet t c { type filter hook output priority 0; }; add rule inet t c ct state new accept",
    )
    host.network.apply(AddAddress(host.index("lo"), ip_interface("192.0.2.7/32"), nodad=True))
    return host


def send(space: Space, address: str, *ports: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with netns.inside(space.namespace):
        door = socket.socket(family, socket.SOCK_DGRAM)
    with door:
        for port in ports:
            door.sendto(b"x", (address, port))


def count(space: Space) -> int:
    return int(space.run("cat", "/proc/sys/net/netfilter/nf_conntrack_count"))


def test_flows_to_a_port_are_forgotten_and_others_stay(tracking: Space) -> None:
    send(tracking, "127.0.0.1", 53, 54)
    send(tracking, "192.0.2.7", 53)
    assert count(tracking) == 3
    assert conntrack.delete_flows(4, "udp", [FlowFilter(53)], tracking.namespace) == 2
    assert count(tracking) == 1


@pytest.mark.parametrize(("family", "address", "other"), [(4, "127.0.0.1", "192.0.2.7"), (6, "::1", "::1")])
def test_with_an_address_only_its_flows_are_forgotten(tracking: Space, family: int, address: str, other: str) -> None:
    send(tracking, address, 53)
    send(tracking, other, 54)
    aims = [FlowFilter(53, ip_address(address)), FlowFilter(54, ip_address("fd00::9" if family == 6 else "192.0.2.9"))]
    assert conntrack.delete_flows(family, "udp", aims, tracking.namespace) == 1
    assert count(tracking) == 1


@pytest.mark.parametrize(("family", "address"), [(4, "192.0.2.7"), (6, "::1")])
def test_with_a_server_only_the_flows_that_it_answers_are_forgotten(tracking: Space, family: int, address: str) -> None:
    send(tracking, address, 53, 54)
    stranger = ip_address("fd00::9" if family == 6 else "127.0.0.1")
    assert conntrack.delete_flows(family, "udp", [FlowFilter(53, server=stranger)], tracking.namespace) == 0
    assert conntrack.delete_flows(family, "udp", [FlowFilter(53, server=ip_address(address))], tracking.namespace) == 1
    assert count(tracking) == 1


def test_another_protocol_stays(tracking: Space) -> None:
    send(tracking, "127.0.0.1", 53)
    assert conntrack.delete_flows(4, "tcp", [FlowFilter(53)], tracking.namespace) == 0
    assert count(tracking) == 1


def test_nothing_to_forget_is_fine(host: Space) -> None:
    assert [conntrack.delete_flows(4, "udp", aims, host.namespace) for aims in ((), [FlowFilter(53)])] == [0, 0]


def test_many_flows_are_forgotten_at_once(tracking: Space) -> None:
    send(tracking, "127.0.0.1", *range(2000, 2600))
    assert conntrack.delete_flows(4, "udp", [FlowFilter(port) for port in range(2000, 2600)], tracking.namespace) == 600
    assert (count(tracking), conntrack.delete_flows(4, "udp", [FlowFilter(2000)], tracking.namespace)) == (0, 0)
