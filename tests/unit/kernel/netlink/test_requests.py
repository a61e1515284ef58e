"""Claims about kernel.netlink.requests.

- every request says in words what it does and to what
- requests are values: equal when their fields are
- importing them, and all that writes and reads them, loads nothing heavy
"""

import subprocess
import sys
from ipaddress import ip_address, ip_interface, ip_network
from typing import get_args

import pytest

from kernel.netlink import requests
from kernel.netlink.objects import TokenBucket
from kernel.netlink.requests import Request

NET = ip_network("10.9.0.0/24")
MAC = "02:00:00:00:00:07"
REMOTE = ip_address("192.0.2.1")

WORDS: dict[str, Request] = {
    "creating bridge cni0": requests.AddBridge("cni0"),
    "creating veth v0 with peer eth0": requests.AddVeth("v0", "eth0", None),
    "creating vxlan flannel.1 with VNI 1 on link 2 from 192.0.2.1": requests.AddVxlan("flannel.1", 1, 2, REMOTE),
    "creating WireGuard device wg0": requests.AddWireguard("wg0"),
    "setting state up on v0": requests.SetLink("v0", up=True),
    "setting master none, mtu 1400, mac 02:00:00:00:00:07 on link 3": requests.SetLink(3, master=0, mtu=1400, mac=MAC),
    "setting state down, alias x, hairpin off on v0": requests.SetLink("v0", up=False, alias="x", hairpin=False),
    "setting nothing on v0": requests.SetLink("v0"),
    "setting vlan filtering on on cni0": requests.SetLink("cni0", vlan_filtering=True),
    "adding link 3 to VLAN 1, 100": requests.AddVlans(3, (requests.Vlan(1), requests.Vlan(100, pvid=True))),
    "taking link 3 out of VLAN 1": requests.DeleteVlans(3, (1,)),
    "creating ifb bwp0": requests.AddIfb("bwp0"),
    "setting all multicast off, queue 0 on v0": requests.SetLink("v0", all_multicast=False, queue=0),
    "limiting link 3 to 1000 bytes a second": requests.AddTokenBucket(3, TokenBucket(1000, 35, 10_000)),
    "redirecting what arrives on link 3 to link 5": requests.AddRedirect(3, to=5),
    "removing the root qdisc of link 3": requests.DeleteQdisc(3),
    "removing the ingress qdisc of link 3": requests.DeleteQdisc(3, arriving=True),
    "deleting v0": requests.DeleteLink("v0"),
    "deleting link 3": requests.DeleteLink(3),
    "adding address 10.9.0.5/24 to link 3": requests.AddAddress(3, ip_interface("10.9.0.5/24")),
    "deleting address 10.9.0.5/24 from link 3": requests.DeleteAddress(3, ip_interface("10.9.0.5/24")),
    "adding route 10.9.0.0/24": requests.AddRoute(NET),
    "adding blackhole route 10.9.0.0/24": requests.AddRoute(NET, blackhole=True),
    "deleting blackhole route 10.9.0.0/24": requests.DeleteRoute(NET, blackhole=True),
    "adding route 10.9.0.0/24 via 192.0.2.1 on link 3": requests.AddRoute(NET, REMOTE, 3),
    "deleting route 10.9.0.0/24 on link 3": requests.DeleteRoute(NET, link=3),
    f"adding neighbour 192.0.2.1 at {MAC} on link 3": requests.AddNeighbour(3, REMOTE, MAC),
    "deleting neighbour 192.0.2.1 on link 3": requests.DeleteNeighbour(3, REMOTE),
    f"adding forwarding entry {MAC} to 192.0.2.1 on link 3": requests.AddFdb(3, MAC, REMOTE),
    f"deleting forwarding entry {MAC} to 192.0.2.1 on link 3": requests.DeleteFdb(3, MAC, REMOTE),
}


@pytest.mark.parametrize("words", WORDS)
def test_a_request_says_what_it_does(words: str) -> None:
    assert WORDS[words].what() == words


def test_every_kind_of_request_is_in_the_table() -> None:
    assert {type(request) for request in WORDS.values()} == set(get_args(Request))


def test_equal_fields_are_equal_requests() -> None:
    assert requests.AddRoute(NET, REMOTE) == requests.AddRoute(ip_network("10.9.0.0/24"), ip_address("192.0.2.1"))


def test_a_plan_can_be_made_and_carried_out_without_heavy_imports() -> None:
    program = "import sys, kernel.netlink.requests, kernel.netlink.handle, kernel.sysctl, kernel.firewall.nft; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"pyroute2", "asyncio", "logging", "subprocess", "pathlib"}
    assert not heavy & set(loaded)
