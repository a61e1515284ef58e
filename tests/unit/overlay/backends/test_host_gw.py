"""Claims: host-gw publishes its type without data, byte for byte (docs/reference/flannel.md 2.2); it refuses NAT; a peer on the wire
becomes a route a family, any other one is left out with its reason.
"""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from overlay.backends import GatewayRoutes, Underlay, host_gw, registry
from overlay.config import network
from overlay.errors import Unavailable
from overlay.subnet import allocation, attributes
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease
from system.ip import IPAddress

V6 = '"EnableIPv6": true, "IPv6Network": "fd00:42::/48",'
HERE = IPv4Address("192.0.2.1")
ME = Underlay("eth0", 1500, HERE, IPv6Address("2001:db8::1"), HERE)


def config(more: str = "") -> network.NetworkConfig:
    return network.parse(f'{{"Network": "10.42.0.0/16", {more} "Backend": {{"Type": "host-gw"}}}}', "x")


def lease(key: str, public: str = "192.0.2.2", six: str = "", kind: str = "host-gw") -> Lease:
    return Lease(allocation.parse_key(key), Attributes(IPv4Address(public), IPv6Address(six) if six else None, kind))


OWN = lease("10.42.1.0-24", "192.0.2.1")
PEER = lease("10.42.2.0-24")


def wire(address: IPAddress) -> str:
    """Stand for a host with 192.0.2.0/24 and 2001:db8::/32 on eth0 and 198.51.100.0/24 on eth1."""
    return {"192": "eth0", "200": "eth0", "198": "eth1"}.get(str(address)[:3], "")


def routes(*peers: Lease, more: str = "") -> frozenset[tuple[object, ...]]:
    direct = host_gw.HostGw(config(more), ME).desired(OWN, peers, wire).direct
    assert isinstance(direct, GatewayRoutes)
    return direct.routes


def test_the_value_has_a_type_and_no_data() -> None:
    for key, six in (("10.42.1.0-24", "null"), ("10.42.1.0-24&fd00:42:0:1::-64", '"2001:db8::1"')):
        value = attributes.encode(host_gw.HostGw(config(), ME).attributes(allocation.parse_key(key)))
        assert value == f'{{"PublicIP":"192.0.2.1","PublicIPv6":{six},"BackendType":"host-gw"}}'


def test_nat_is_refused() -> None:
    with pytest.raises(Unavailable, match=r"behind NAT: eth0 has 192\.0\.2\.1, published is 203\.0\.113\.1"):
        registry.build(config(), replace(ME, public_ip=IPv4Address("203.0.113.1")), {})


def test_dual_stack_needs_an_ipv6_underlay() -> None:
    with pytest.raises(Unavailable, match="eth0 has no IPv6 address"):
        registry.build(config(V6), replace(ME, public_ipv6=None), {})


def test_a_peer_is_the_gateway_to_its_subnet() -> None:
    assert routes(PEER) == {(IPv4Network("10.42.2.0/24"), IPv4Address("192.0.2.2"), "eth0")}


def test_a_dual_stack_peer_has_a_route_a_family() -> None:
    both = lease("10.42.2.0-24&fd00:42:0:2::-64", six="2001:db8::2")
    six = (IPv6Network("fd00:42:0:2::/64"), IPv6Address("2001:db8::2"), "eth0")
    assert six in routes(both, more=V6)
    assert len(routes(both)) == 1


def test_a_peer_of_another_backend_is_not_ours() -> None:
    assert routes(lease("10.42.2.0-24", kind="vxlan")) == frozenset()


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        (lease("10.42.2.0-24", "203.0.113.9"), "not on the wire of eth0"),
        (lease("10.42.2.0-24", "198.51.100.9"), "not on the wire of eth0"),
        (lease("10.42.1.128-25"), "overlaps"),
    ],
)
def test_a_peer_that_cannot_be_a_gateway_is_left_out(peer: Lease, reason: str) -> None:
    desired = host_gw.HostGw(config(), ME).desired(OWN, [peer, PEER], wire)
    assert reason in desired.unusable[0]
    assert desired.direct is not None
    assert len(desired.direct.routes) == 1
