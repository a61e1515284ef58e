"""Claims: the twelve rules of living beside flanneld in one etcd (docs/reference/flannel.md 0), a test each, named after its rule.

What only an etcd can show is in stores/test_etcd.py; docs/daemon.md says which test keeps which rule.
"""

import json
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import pytest

from overlay.backends import Desired, Underlay, registry
from overlay.config import network
from overlay.config.network import NetworkConfig
from overlay.errors import Refused, Unavailable
from overlay.stores import Snapshot
from overlay.stores.etcd.keys import Keys
from overlay.subnet import state_machine
from overlay.subnet.allocation import Subnet, parse_key
from overlay.subnet.attributes import Attributes, encode
from overlay.subnet.lease import TTL, Lease
from overlay.subnet.peers import Peers
from overlay.subnet.state_machine import LeasePolicy, LeaseState

KEY = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+-[0-9]+(&[a-f0-9:]+-[0-9]+)?")
"""What flannel's parser takes, anchored at both ends."""
ME, PEER = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
SIX = IPv6Address("2001:db8::1")
OWN, THEIRS = Subnet(IPv4Network("10.42.1.0/24")), Subnet(IPv4Network("10.42.2.0/24"))
DUAL = Subnet(IPv4Network("10.42.1.0/24"), IPv6Network("fd00:42:0:1::/64"))
DATA = {
    "vxlan": '{"VNI":1,"VtepMAC":"02:00:00:00:00:77"}',
    "wireguard": '{"PublicKey":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=","Port":51820}',
}


def config(kind: str = "vxlan", *, six: bool = False, **more: Any) -> NetworkConfig:
    families = {"EnableIPv6": True, "IPv6Network": "fd00:42::/48"} if six else {}
    return network.parse(json.dumps({"Network": "10.42.0.0/16", **families, **more, "Backend": {"Type": kind}}), "test")


def desired(kind: str, peer: Lease) -> Desired:
    backend = registry.build(config(kind), Underlay("eth0", 1500, ME), {})
    return backend.desired(Lease(OWN, backend.attributes(OWN)), [peer], lambda _: "eth0")


@pytest.mark.parametrize("subnet", [OWN, DUAL])
def test_rule_1_every_key_below_subnets_is_perfectly_formed(subnet: Subnet) -> None:
    keys = Keys.below("/a//b/")
    name = keys.lease(subnet).removeprefix(b"/a/b/subnets/").decode()
    assert (KEY.fullmatch(name) is not None, parse_key(name)) == (True, subnet)
    assert not keys.config.startswith(keys.subnets)


def test_rule_2_the_public_address_is_always_a_dotted_one() -> None:
    assert json.loads(encode(Attributes(ME)))["PublicIP"] == "192.0.2.1"
    assert json.loads(encode(Attributes(ME, SIX)))["PublicIPv6"] == "2001:db8::1"


@pytest.mark.parametrize("kind", ["vxlan", "host-gw", "wireguard"])
def test_rule_3_a_key_with_an_ipv6_half_has_all_that_a_peer_reads(kind: str) -> None:
    backend = registry.build(config(kind, six=True), Underlay("eth0", 1500, ME, SIX), {"flannel-wg": "k"})
    published = backend.attributes(DUAL)
    assert published.public_ipv6 == SIX
    assert kind == "host-gw" or json.loads(published.backend_v6_data)


def test_rule_3_without_an_ipv6_address_nothing_is_published() -> None:
    with pytest.raises(Unavailable, match="no IPv6 address for a dual-stack network"):
        registry.build(config(six=True), Underlay("eth0", 1500, ME), {})


@pytest.mark.parametrize("members", [{"SubnetLen": 31}, {"SubnetLen": 32}, {"IPv6SubnetLen": 127}])
def test_rule_6_no_subnet_is_longer_than_a_key_can_say(members: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="SubnetLen"):
        config(six=True, **members)


def test_rule_7_only_three_backends_have_two_families() -> None:
    for kind in ("vxlan", "host-gw", "wireguard"):
        registry.require_known(config(kind, six=True))
    with pytest.raises(Refused, match="udp carries IPv4 only"):
        registry.require_known(config("udp", six=True))


def test_rule_8_a_network_without_ipv4_is_refused() -> None:
    with pytest.raises(Refused, match="every host needs an IPv4 subnet"):
        config(six=True, EnableIPv4=False)


def test_rule_9_our_lease_is_known_by_its_subnet_and_taken_again_by_our_address() -> None:
    peers = Peers()
    peers.apply(Snapshot((Lease(OWN, Attributes(PEER)), Lease(THEIRS, Attributes(PEER))), 1))
    assert [one.subnet for one in peers.others(OWN, ME)] == [THEIRS]
    state = LeaseState(LeasePolicy(config(), ME, lambda _: Attributes(ME)))
    _, commands = state_machine.step(state, state_machine.Listed([Lease(THEIRS, Attributes(ME))], 0.5))
    assert commands == (state_machine.Replace(Lease(THEIRS, Attributes(ME)), Attributes(ME)),)


def test_rule_10_a_lease_lives_a_day_and_a_renewal_of_a_peer_changes_nothing() -> None:
    peers, lease = Peers(), Lease(THEIRS, Attributes(PEER, None, "vxlan", DATA["vxlan"]), version=1)
    peers.apply(Snapshot((lease,), 1))
    before = desired("vxlan", *peers.others(OWN, ME))
    peers.apply(Snapshot((Lease(THEIRS, lease.attributes, version=2),), 2))
    assert (TTL, desired("vxlan", *peers.others(OWN, ME))) == (86_400, before)


def test_rule_11_what_a_peer_says_of_vni_or_port_does_not_move_our_device() -> None:
    other = Attributes(PEER, None, "vxlan", DATA["vxlan"].replace('"VNI":1', '"VNI":9,"Port":4789'))
    said, ours = (
        desired("vxlan", Lease(THEIRS, one)) for one in (other, Attributes(PEER, None, "vxlan", DATA["vxlan"]))
    )
    assert said == ours


@pytest.mark.parametrize("kind", ["vxlan", "host-gw", "wireguard", "udp"])
@pytest.mark.parametrize("other", ["vxlan", "host-gw", "wireguard", "ipip", "extension", ""])
def test_rule_12_leases_of_another_backend_are_ignored(kind: str, other: str) -> None:
    peer = Lease(THEIRS, Attributes(PEER, None, other, DATA.get(other, "")))
    same = other == ("" if kind == "udp" else kind)
    programmed = desired(kind, peer) != desired(kind, Lease(THEIRS, Attributes(PEER, None, "nonsense")))
    assert programmed == same
