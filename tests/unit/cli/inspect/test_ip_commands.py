"""Claims about the commands that stand for a lease: ARP, FDB entry and route of a tunnel, in the order that works; a key's peer; a plain route."""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from cli.inspect import ip_commands
from overlay.backends import (
    Desired,
    GatewayRoutes,
    L3Device,
    UdpForwarding,
    VxlanDevice,
    VxlanIdentity,
    WireguardConfig,
    WireguardPeer,
)
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease

HERE, THERE, OTHER = (IPv4Address(f"192.0.2.{number}") for number in (1, 2, 3))
NETWORK = IPv4Network("10.42.0.0/16")
NEAR, FAR = IPv4Network("10.42.2.0/24"), IPv4Network("10.42.3.0/24")
LEASE = Lease(Subnet(NEAR), Attributes(THERE))
MAC, ELSE = "02:00:00:00:00:02", "02:00:00:00:00:03"
PIPE = L3Device("flannel-wg", 1420, (), (NETWORK,), WireguardConfig(51820, frozenset()))


def test_a_tunnel_has_neighbour_forwarding_entry_and_route() -> None:
    tunnel = VxlanDevice(
        device=VxlanIdentity("flannel.1", 1, "eth0", HERE, 0),
        mtu=1450,
        mac="02:00:00:00:00:01",
        learning=False,
        address=IPv4Interface("10.42.1.0/32"),
        network=NETWORK,
        neighbours=frozenset({(NEAR[0], MAC), (FAR[0], ELSE)}),
        fdb=frozenset({(MAC, THERE), (ELSE, OTHER)}),
        routes=frozenset({(NEAR, NEAR[0]), (FAR, FAR[0])}),
    )
    assert list(ip_commands.commands(Desired(tunnels=(tunnel,)), LEASE)) == [
        f"ip neighbour replace 10.42.2.0 lladdr {MAC} dev flannel.1 nud permanent",
        f"bridge fdb replace {MAC} dev flannel.1 dst 192.0.2.2 self permanent",
        "ip route replace 10.42.2.0/24 via 10.42.2.0 dev flannel.1 onlink",
    ]


def test_an_encrypted_way_has_route_and_peer() -> None:
    peer = WireguardPeer("KEY=", (THERE, 51820), frozenset({NEAR}), 0, "")
    pipe = L3Device("flannel-wg", 1420, (), (NETWORK,), WireguardConfig(51820, frozenset({peer})))
    assert list(ip_commands.commands(Desired(pipes=(pipe,)), LEASE)) == [
        "ip route replace 10.42.0.0/16 dev flannel-wg",
        "wg set flannel-wg peer KEY= endpoint 192.0.2.2:51820 allowed-ips 10.42.2.0/24",
    ]


def test_a_forwarder_is_told_about_in_a_comment() -> None:
    carrier = UdpForwarding(
        HERE, 8285, NETWORK[0], IPv4Network("10.42.1.0/24"), frozenset({(NEAR, THERE), (FAR, OTHER)})
    )
    pipe = L3Device("flannel0", 1472, (), (NETWORK,), carrier)
    assert list(ip_commands.commands(Desired(pipes=(pipe,)), LEASE)) == [
        "ip route replace 10.42.0.0/16 dev flannel0",
        "# flannel0: the forwarder sends 10.42.2.0/24 to 192.0.2.2",
    ]


def test_a_host_that_is_a_gateway_has_a_plain_route() -> None:
    direct = GatewayRoutes(frozenset({(NEAR, THERE, "eth0"), (FAR, OTHER, "eth0")}), (NETWORK,))
    assert list(ip_commands.commands(Desired(direct=direct), LEASE)) == [
        "ip route replace 10.42.2.0/24 via 192.0.2.2 dev eth0"
    ]
