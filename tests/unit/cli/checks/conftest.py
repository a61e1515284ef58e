"""Evidence of a host that is well, for tests that spoil one part of it."""

import sys
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from cli.checks import DoctorInput
from cli.inspect.network_state import AddressBook, DesiredNow, NetworkState
from cli.inspect.reachability import Answers, PeerPath
from kernel.netlink.objects import Address, Link, VxlanInfo
from lease import file as lease_file
from overlay.backends import Underlay, vxlan
from overlay.config import network, settings
from overlay.subnet.allocation import Subnet
from overlay.subnet.lease import Lease

LEASE = "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
HERE, THERE = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")


@pytest.fixture
def well() -> DoctorInput:
    config = network.parse('{"Network": "10.42.0.0/16", "Backend": {"Type": "vxlan"}}', "test")
    underlay = Underlay("eth0", 1500, HERE, local=HERE)
    backend = vxlan.build(config, underlay, {})
    own, other = (_lease(config, third, public) for third, public in ((7, HERE), (8, THERE)))
    desired = backend.desired(own, (other,))
    mac = desired.tunnels[0].mac
    survey = NetworkState(
        settings.parse([], {}, sys.stderr),
        lease_file.parse(LEASE),
        config=config,
        leases=(own, other),
        plan=DesiredNow(underlay, 1450, desired, (), {other.subnet: "flannel.1"}, {"flannel.1": "0"}),
        links=(
            Link(2, "eth0", mtu=1500),
            Link(3, "flannel.1", mac=mac, mtu=1450, kind="vxlan", vxlan=VxlanInfo(1, 8472, HERE, 2, learning=False)),
            Link(4, "tulle0", kind="bridge"),
        ),
        addresses=(Address(2, IPv4Interface("192.0.2.1/24")), Address(4, IPv4Interface("10.42.7.1/24"))),
        sysctls={"net/ipv4/ip_forward": "1"},
        book=AddressBook("/run/tulle/books/10.42.7.0-24"),
    )
    way = PeerPath(other, other.subnet.ipv4, THERE, other.subnet.ipv4.network_address)
    one = frozenset([way])
    return DoctorInput(survey, Answers((way,), one, one, one, one))


def _lease(config: network.NetworkConfig, third: int, public: IPv4Address) -> Lease:
    subnet = Subnet(IPv4Network(f"10.42.{third}.0/24"))
    return Lease(subnet, vxlan.derived(config, subnet, public, None))
