"""Claims: udp publishes its address alone, byte for byte (docs/reference/flannel.md 2.2); every usable lease without a type becomes a
route of the forwarder; what cannot work is refused.
"""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from overlay.backends import L3Device, UdpForwarding, Underlay, registry
from overlay.config import network
from overlay.errors import Refused, Unavailable
from overlay.subnet import allocation, attributes
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease

HERE = IPv4Address("192.0.2.1")
ME = Underlay("eth0", 1500, IPv4Address("203.0.113.1"), None, HERE)


def config(backend: str = "", more: str = "") -> network.NetworkConfig:
    return network.parse(f'{{"Network": "10.42.0.0/16", {more} "Backend": {{"Type": "udp"{backend}}}}}', "x")


def lease(key: str, public: str, kind: str = "") -> Lease:
    return Lease(allocation.parse_key(key), Attributes(IPv4Address(public), None, kind))


OWN = lease("10.42.1.0-24", "203.0.113.1")


def test_the_value_is_the_address_alone() -> None:
    value = attributes.encode(registry.build(config(), ME, {}).attributes(OWN.subnet))
    assert value == '{"PublicIP":"203.0.113.1","PublicIPv6":null}'


def test_the_device_takes_the_whole_network_and_the_forwarder_the_peers() -> None:
    peers = [
        lease("10.42.2.0-24", "192.0.2.2"),
        lease("10.42.3.0-24", "192.0.2.3", "vxlan"),
        lease("10.42.1.128-25", "192.0.2.4"),
    ]
    desired = registry.build(config(', "Port": 9000'), ME, {}).desired(OWN, peers)
    base, routes = IPv4Address("10.42.0.0"), frozenset({(IPv4Network("10.42.2.0/24"), IPv4Address("192.0.2.2"))})
    assert desired.pipes == (
        L3Device(
            name="flannel0",
            mtu=1472,
            addresses=(IPv4Interface("10.42.1.0/32"),),
            networks=(IPv4Network("10.42.0.0/16"),),
            carrier=UdpForwarding(HERE, 9000, base, IPv4Network("10.42.1.0/24"), routes),
        ),
    )
    assert "overlaps" in desired.unusable[0]


@pytest.mark.parametrize(
    ("backend", "more", "problem"),
    [
        (', "Port": 0', "", "Backend.Port is 0"),
        ("", '"EnableIPv6": true, "IPv6Network": "fd00:42::/48",', "udp carries IPv4 only"),
    ],
)
def test_what_cannot_work_is_refused(backend: str, more: str, problem: str) -> None:
    with pytest.raises(Refused, match=problem):
        registry.build(config(backend, more), ME, {})


def test_an_interface_whose_mtu_is_too_small_may_get_another() -> None:
    with pytest.raises(Unavailable, match="the MTU of eth0 is 90: too little"):
        registry.build(config(), replace(ME, mtu=90), {})
