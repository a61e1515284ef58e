"""Claims about VLAN requests, on a kernel with bridge VLAN filtering.

- a bridge filters from the start, or is switched on later; what new ports join is read
- the VLANs of a port are read with their flags, of that port alone
- memberships are made, changed and ended, by hundreds in one request; ending one that is not there is no refusal
"""

import json

from kernel.netlink.requests import AddBridge, AddVeth, AddVlans, DeleteVlans, SetLink, Vlan
from tests.netns.spaces import Space


def members(host: Space, port: str) -> dict[int, set[str]]:
    """The VLANs of a port with their flags, as iproute2 sees them."""
    shown = json.loads(host.run("bridge", "-j", "vlan", "show", "dev", port))
    return {
        vid: set(entry.get("flags", ()))
        for each in shown
        for entry in each["vlans"]
        for vid in range(entry["vlan"], entry.get("vlanEnd", entry["vlan"]) + 1)
    }


def port_of(host: Space, bridge: AddBridge) -> int:
    host.network.apply(bridge)
    host.network.apply(AddVeth("v0", "v1", None, master=host.index(bridge.name)))
    return host.index("v0")


def filters(host: Space) -> bool:
    link = host.network.link("br0")
    assert link is not None
    assert link.bridge is not None
    assert link.bridge.default_pvid == 1
    return link.bridge.vlan_filtering


def test_a_bridge_filters_from_the_start_or_later(host: Space) -> None:
    host.network.apply(AddBridge("br0", vlan_filtering=True))
    assert filters(host)
    host.network.apply(SetLink("br0", vlan_filtering=False))
    assert not filters(host)
    host.network.apply(SetLink("br0", vlan_filtering=True))
    assert filters(host)


def test_memberships_are_made_and_ended(host: Space) -> None:
    port = port_of(host, AddBridge("br0", vlan_filtering=True))
    assert members(host, "v0") == {1: {"PVID", "Egress Untagged"}}
    host.network.apply(
        DeleteVlans(port, (1,)), AddVlans(port, (Vlan(100, pvid=True, untagged=True), Vlan(200), Vlan(201)))
    )
    assert members(host, "v0") == {100: {"PVID", "Egress Untagged"}, 200: set(), 201: set()}
    host.network.apply(DeleteVlans(port, (1, 200)), AddVlans(port, (Vlan(201, untagged=True),)))
    assert members(host, "v0") == {100: {"PVID", "Egress Untagged"}, 201: {"Egress Untagged"}}


def test_the_vlans_of_one_port_are_read(host: Space) -> None:
    port = port_of(host, AddBridge("br0", vlan_filtering=True))
    host.network.apply(AddVeth("w0", "w1", None, master=host.index("br0")))
    wanted = (Vlan(1, untagged=True), Vlan(100, pvid=True, untagged=True), *(Vlan(vid) for vid in range(200, 1200)))
    host.network.apply(AddVlans(port, wanted))
    assert host.network.port_vlans(port) == wanted
    assert host.network.port_vlans(host.index("w0")) == (Vlan(1, pvid=True, untagged=True),)
    host.network.apply(DeleteVlans(port, tuple(vlan.vid for vlan in wanted)))
    assert host.network.port_vlans(port) == ()


def test_a_whole_trunk_goes_in_one_request(host: Space) -> None:
    port = port_of(host, AddBridge("br0", vlan_filtering=True))
    host.network.apply(AddVlans(port, tuple(Vlan(vid) for vid in range(2, 4095))))
    assert len(members(host, "v0")) == 4094
