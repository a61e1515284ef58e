"""Claims about whom to ask for the way to another host, and what is asked when it is silent in the tunnel:

- a way a family, to the far end of the tunnel and to the host; one alone where a host has no IPv6, and no end where there is no tunnel
- in halves: through the tunnel from this host's own address, beside it from its address in the tunnel
"""

import sys
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from cli.inspect import reachability
from cli.inspect.network_state import DesiredNow, NetworkState
from lease import file as lease_file
from overlay.backends import Desired, Underlay, vxlan
from overlay.config import network, settings
from overlay.subnet.allocation import Subnet
from overlay.subnet.lease import Lease

CONFIG = network.parse(
    '{"Network": "10.42.0.0/16", "EnableIPv6": true, "IPv6Network": "fd00:42::/48", "Backend": {"Type": "vxlan"}}',
    "test",
)
UNDERLAY = Underlay("eth0", 1500, IPv4Address("198.51.100.1"), IPv6Address("2001:db8::1"), IPv4Address("192.0.2.1"))


def lease(number: int) -> Lease:
    subnet = Subnet(IPv4Network(f"10.42.{number}.0/24"), IPv6Network(f"fd00:42:0:{number}::/64"))
    public = IPv4Address(f"198.51.100.{number}")
    return Lease(subnet, vxlan.derived(CONFIG, subnet, public, IPv6Address(f"2001:db8::{number}")))


OWN, PEER = lease(1), lease(2)


@pytest.fixture
def found() -> NetworkState:
    desired = vxlan.build(CONFIG, UNDERLAY, {}).desired(OWN, (PEER,))
    held = lease_file.parse(
        "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.1.1/24\nFLANNEL_IPV6_NETWORK=fd00:42::/48\n"
        "FLANNEL_IPV6_SUBNET=fd00:42:0:1::1/64\nFLANNEL_MTU=1430\nFLANNEL_IPMASQ=true\n"
    )
    plan = DesiredNow(UNDERLAY, 1430, desired, ())
    return NetworkState(settings.parse([], {}, sys.stderr), held, config=CONFIG, leases=(OWN, PEER), plan=plan)


def ends(found: NetworkState, peer: Lease = PEER) -> list[tuple[str, str]]:
    return [(str(way.public), str(way.target)) for way in reachability.to(found, peer)]


def test_a_peer_is_asked_in_both_families(found: NetworkState) -> None:
    assert ends(found) == [("198.51.100.2", "10.42.2.0"), ("2001:db8::2", "fd00:42:0:2::")]
    assert reachability.port(found) == 8472


def test_a_peer_without_an_ipv6_address_is_asked_in_one(found: NetworkState) -> None:
    four = replace(PEER, attributes=replace(PEER.attributes, public_ipv6=None))
    assert ends(found, four) == [("198.51.100.2", "10.42.2.0")]


def test_without_a_device_the_host_itself_is_asked(found: NetworkState) -> None:
    assert found.plan is not None
    flat = replace(found, plan=replace(found.plan, desired=Desired()))
    assert ends(flat) == [("198.51.100.2", "198.51.100.2"), ("2001:db8::2", "2001:db8::2")]
    assert reachability.port(flat) == 0


def test_a_silent_way_is_asked_in_halves_each_from_the_address_of_the_other_half(found: NetworkState) -> None:
    four, six = reachability.to(found, PEER)
    asked = [half(found, way) for half in (reachability.there, reachability.back) for way in (four, six)]
    assert [(str(each.address), str(each.source), each.device) for each in asked] == [
        ("10.42.2.0", "192.0.2.1", "flannel.1"),
        ("fd00:42:0:2::", "2001:db8::1", "flannel-v6.1"),
        ("198.51.100.2", "10.42.1.0", ""),
        ("2001:db8::2", "fd00:42:0:1::", ""),
    ]


def test_a_peer_that_is_left_out_has_no_way_and_the_reason_is_known(found: NetworkState) -> None:
    assert found.plan is not None
    assert reachability.left_out(found, PEER) == ""
    desired = replace(found.plan.desired, unusable=(f"{PEER.subnet}: not on the wire",))
    assert reachability.left_out(replace(found, plan=replace(found.plan, desired=desired)), PEER) == "not on the wire"
