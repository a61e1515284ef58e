"""Claims about the kernel the guest runs, on which everything else in tests/guest stands:

- it is Debian's cloud kernel, not the host's
- every module the tests need is loaded, by name
- VLAN filtering can be switched on at a bridge, and its ports then have VLANs
- dummy, wireguard, vrf, ipvlan and 8021q devices can be made
- a VLAN device on a filtering bridge speaks with ports of that VLAN, and with no other
"""

import json
import os
import subprocess
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from kernel.netlink.requests import AddAddress, AddBridge, AddVeth, SetLink
from tests.netns.spaces import Space

MODULES = ("8021q", "bridge", "dummy", "ipvlan", "vrf", "wireguard")


@pytest.fixture
def bridge(host: Space, container: Space) -> Space:
    """A host with a bridge br0 and a port on it."""
    host.network.apply(AddBridge("br0"))
    host.network.apply(AddVeth("port", "eth0", container.namespace, master=host.index("br0")))
    return host


def details(space: Space, name: str) -> dict[str, Any]:
    (link,) = json.loads(space.run("ip", "-j", "-d", "link", "show", name))
    information: dict[str, Any] = link["linkinfo"]
    return information


def vlans(space: Space, port: str) -> list[int]:
    entries = json.loads(space.run("bridge", "-j", "vlan", "show", "dev", port))
    return [vlan["vlan"] for entry in entries for vlan in entry["vlans"]]


def test_the_kernel_is_debians() -> None:
    assert os.uname().release.endswith("-cloud-amd64")


@pytest.mark.parametrize("name", MODULES)
def test_the_module_is_loaded(name: str) -> None:
    assert Path("/sys/module", name).is_dir()


def test_vlan_filtering_can_be_switched_on_and_off(bridge: Space) -> None:
    seen = []
    for state in ("1", "0"):
        bridge.run("ip", "link", "set", "br0", "type", "bridge", "vlan_filtering", state)
        seen.append(details(bridge, "br0")["info_data"]["vlan_filtering"])
    assert seen == [1, 0]


def test_a_port_of_a_filtering_bridge_has_vlans(bridge: Space) -> None:
    bridge.run("ip", "link", "set", "br0", "type", "bridge", "vlan_filtering", "1")
    bridge.run("bridge", "vlan", "add", "dev", "port", "vid", "100", "pvid", "untagged")
    bridge.run("bridge", "vlan", "add", "dev", "br0", "vid", "100", "self")
    assert (vlans(bridge, "port"), vlans(bridge, "br0")) == ([1, 100], [1, 100])


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("dummy", ()),
        ("wireguard", ()),
        ("vrf", ("table", "77")),
        ("ipvlan", ("mode", "l2")),
        ("vlan", ("id", "100")),
    ],
)
def test_a_device_of_the_kind_can_be_made(bridge: Space, kind: str, options: tuple[str, ...]) -> None:
    on = ("link", "br0") if kind in {"ipvlan", "vlan"} else ()
    bridge.run("ip", "link", "add", *on, "name", "made", "type", kind, *options)
    made = bridge.network.link("made")
    assert made is not None
    assert (made.kind, details(bridge, "made")["info_kind"]) == (kind, kind)


def test_a_vlan_of_the_bridge_carries_packets_of_its_ports_only(bridge: Space, container: Space) -> None:
    for words in ("link set br0 type bridge vlan_filtering 1", "link add link br0 name br0.100 type vlan id 100"):
        bridge.run("ip", *words.split())
    bridge.run("bridge", "vlan", "add", "dev", "br0", "vid", "100", "self")
    for space, name, address in ((bridge, "br0.100", "10.9.0.1/24"), (container, "eth0", "10.9.0.2/24")):
        space.network.apply(SetLink(name, up=True), AddAddress(space.index(name), ip_interface(address)))
    ping = ("ping", "-c", "1", "-w", "5", "10.9.0.1")  # until one answer, 5 s at most
    with pytest.raises(subprocess.CalledProcessError):
        container.run(*ping)
    bridge.run("bridge", "vlan", "add", "dev", "port", "vid", "100", "pvid", "untagged")
    assert " 1 received" in container.run(*ping)
