"""Claims about VLANs of the program `bridge`, on a kernel that filters them (docs/reference/cni.md 2.2, 5, 6 row 16).

* A container's port is in exactly the VLANs asked for; the bridge's default goes unless it is to be kept.
* A bridge filters from its creation, an existing one is switched on.
* Gateway addresses of a VLAN sit on `<bridge>.<vlan>`, whose peer has the index just below and is a port in that VLAN.
* Containers of one VLAN reach each other and their gateway, those of another do not.
* CHECK names a VLAN that a port is not in, or not as it should, or besides its own, a bridge that stopped to filter and a gateway pair
  that is broken; what it says to type mends it. A port of the reference's, which has no name of ours, may be in the default VLAN.
* ADD, CHECK, DEL pass; DEL takes both ends and leaves the gateway; what stands in the way is refused by name.
"""

from collections.abc import Callable
from typing import Any

import pytest

from kernel import sysctl
from kernel.netlink.requests import AddBridge
from tests.guest.bridge.conftest import NATIVE, members, port
from tests.netns.bridge.conftest import FOUR, SIX, Runtime, add
from tests.netns.spaces import Space

LAYER_2: dict[str, Any] = {"ipam": {}, "isDefaultGateway": False}
TRUNK = [{"id": 101}, {"minID": 200, "maxID": 210}]
TAGGED: dict[int, set[str]] = {101: set(), **{vid: set() for vid in range(200, 211)}}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, {1: NATIVE}),
        ({"vlan": 100}, {100: NATIVE}),
        ({"vlan": 100, "preserveDefaultVlan": True}, {1: {"Egress Untagged"}, 100: NATIVE}),
        ({"vlanTrunk": TRUNK}, {1: NATIVE, **TAGGED}),
        ({"vlan": 100, "vlanTrunk": TRUNK}, {100: NATIVE, **TAGGED}),
        (
            {"vlan": 100, "vlanTrunk": TRUNK, "preserveDefaultVlan": True},
            {1: {"Egress Untagged"}, 100: NATIVE, **TAGGED},
        ),
        ({"vlanTrunk": []}, {1: NATIVE}),
    ],
    ids=["plain", "vlan", "vlan, default kept", "trunk", "vlan and trunk", "both, default kept", "empty trunk"],
)
def test_a_port_is_in_exactly_the_vlans_asked_for(
    runtime: Runtime, container: Space, keys: dict[str, Any], expected: dict[int, set[str]]
) -> None:
    result = add(runtime, container, **LAYER_2, **keys)
    assert members(runtime.host, port(result)) == expected
    assert len(result["interfaces"]) == 3


def filters(runtime: Runtime) -> bool:
    link = runtime.host.network.link("br0")
    assert link is not None
    assert link.bridge is not None
    return link.bridge.vlan_filtering


@pytest.mark.parametrize(
    ("keys", "expected"), [({}, False), ({"vlan": 100}, True), ({"vlanTrunk": TRUNK}, True), ({"vlanTrunk": []}, True)]
)
def test_a_bridge_filters_from_its_creation_when_vlans_are_asked_for(
    runtime: Runtime, container: Space, keys: dict[str, Any], expected: bool
) -> None:
    add(runtime, container, **LAYER_2, **keys)
    assert filters(runtime) is expected


def test_row_16_an_existing_bridge_is_switched_on(runtime: Runtime, container: Space) -> None:
    runtime.host.network.apply(AddBridge("br0"))
    index = runtime.host.index("br0")
    result = add(runtime, container, **LAYER_2, vlan=100)
    assert (filters(runtime), runtime.host.index("br0")) == (True, index)
    assert members(runtime.host, port(result)) == {100: NATIVE}


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("ips", [(FOUR,), (SIX,), (FOUR, SIX)], ids=["v4", "v6", "dual"])
def test_gateway_addresses_sit_on_a_link_of_the_vlan(
    runtime: Runtime, container: Space, ips: tuple[dict[str, Any], ...], keep: bool
) -> None:
    runtime.ipam_answers(*ips)
    result = add(runtime, container, vlan=100, preserveDefaultVlan=keep)
    network = runtime.host.network
    names = [entry["name"] for entry in result["interfaces"]]
    assert (names[0], names[2], names[3], len(names)) == ("br0", "eth0", "br0.100", 4)
    gateway, bridge = network.link("br0.100"), network.link("br0")
    assert gateway is not None
    assert bridge is not None
    peer = network.link(gateway.peer)
    assert peer is not None
    assert (gateway.kind, gateway.mac, peer.master) == ("veth", result["interfaces"][3]["mac"], bridge.index)
    assert peer.index == gateway.index - 1
    assert members(runtime.host, peer.name)[100] == NATIVE
    assert (1 in members(runtime.host, peer.name)) is keep
    assert len(network.links()) == 5
    on_gateway = {str(entry.address) for entry in network.addresses(gateway.index)}
    assert {f"{each['gateway']}/{each['address'].split('/')[1]}" for each in ips} <= on_gateway
    assert not {str(entry.address) for entry in network.addresses(bridge.index) if not entry.address.ip.is_link_local}
    for name in (gateway.name, peer.name):
        assert sysctl.read(f"net/ipv6/conf/{name}/accept_ra", runtime.host.namespace) == "0"


def test_the_container_reaches_its_gateway_and_the_pair_is_made_once(
    runtime: Runtime, make_space: Callable[[str], Space]
) -> None:
    first, second = make_space("first"), make_space("second")
    add(runtime, first, vlan=100)
    before = {link.index for link in runtime.host.network.links()}
    runtime.ipam_answers({"address": "10.42.7.6/24", "gateway": "10.42.7.1"})
    assert len(runtime.call("ADD", second.path, container="c2", vlan=100)["interfaces"]) == 4
    assert len({link.index for link in runtime.host.network.links()} - before) == 1
    for space in (first, second):
        assert "1 received" in space.run("ping", "-c1", "-W2", "10.42.7.1")
    assert "1 received" in first.run("ping", "-c1", "-W2", "10.42.7.6")


def test_containers_of_different_vlans_do_not_hear_each_other(
    runtime: Runtime, make_space: Callable[[str], Space]
) -> None:
    first, second = make_space("first"), make_space("second")
    add(runtime, first, vlan=100)
    runtime.ipam_answers({"address": "10.42.7.6/24", "gateway": "10.42.7.2"})
    assert "code" not in runtime.call("ADD", second.path, container="c2", vlan=200)
    assert "0 received" in first.run("sh", "-c", "ping -c1 -W1 10.42.7.6 || true")


def test_add_check_and_del_pass_and_the_gateway_stays(runtime: Runtime, container: Space) -> None:
    keys: dict[str, Any] = {"vlan": 100, "vlanTrunk": TRUNK, "ipMasq": True, "macspoofchk": True}
    result = add(runtime, container, **keys)
    assert runtime.call("CHECK", container.path, prevResult=result, **keys) == {}
    assert runtime.call("DEL", container.path, **keys) == {}
    assert (container.network.link("eth0"), runtime.host.network.link(port(result))) == (None, None)
    assert runtime.host.network.link("br0.100") is not None
    assert "net/c1/eth0" not in runtime.veths()


BOTH: dict[str, Any] = {"vlan": 100, "vlanTrunk": TRUNK}
KEPT: dict[str, Any] = {"vlan": 100, "preserveDefaultVlan": True}


@pytest.mark.parametrize(
    ("keys", "harm", "named"),
    [
        (BOTH, "bridge vlan del dev PORT vid 100", "needs: vid 100 pvid untagged"),
        (BOTH, "bridge vlan add dev PORT vid 100", "needs: vid 100 pvid untagged"),
        (BOTH, "bridge vlan del dev PORT vid 205", "needs: vid 205"),
        (BOTH, "bridge vlan add dev PORT vid 205 untagged", "needs: vid 205"),
        (BOTH, "bridge vlan add dev PORT vid 300", "in VLAN 300, which"),
        (BOTH, "bridge vlan add dev PORT vid 1 untagged", "in VLAN 1, which"),
        ({"vlanTrunk": TRUNK}, "bridge vlan del dev PORT vid 1", "needs: vid 1 pvid untagged"),
        (KEPT, "bridge vlan del dev PORT vid 1", "needs: vid 1 untagged"),
        (KEPT, "bridge vlan add dev PORT vid 1", "needs: vid 1 untagged"),
        (KEPT, "bridge vlan add dev PORT vid 1 pvid untagged", "needs: vid 100 pvid untagged"),
        ({"vlan": 100}, "ip link set br0 type bridge vlan_filtering 0", 'bridge "br0" filters no VLANs'),
    ],
)
def test_check_names_a_changed_vlan_and_its_remedy_mends_it(
    runtime: Runtime, container: Space, keys: dict[str, Any], harm: str, named: str
) -> None:
    result = add(runtime, container, **LAYER_2, **keys)
    asked = {"prevResult": result, **LAYER_2, **keys}
    assert runtime.call("CHECK", container.path, **asked) == {}
    runtime.host.run(*harm.replace("PORT", port(result)).split())
    answer = runtime.call("CHECK", container.path, **asked)
    assert (answer["code"], named in answer["msg"]) == (102, True), answer
    while answer:  # taking a pvid away from one VLAN gives it to another: each has its own remedy
        runtime.host.run(*answer["remedy"].split())
        before, answer = answer, runtime.call("CHECK", container.path, **asked)
        assert answer.get("msg") != before["msg"]


def test_without_vlans_a_port_is_in_those_the_bridge_gives_it(runtime: Runtime, container: Space) -> None:
    runtime.host.network.apply(AddBridge("br0", vlan_filtering=True))
    result = add(runtime, container, **LAYER_2)
    runtime.host.run("bridge", "vlan", "add", "dev", port(result), "vid", "300")
    assert runtime.call("CHECK", container.path, prevResult=result, **LAYER_2) == {}


def test_a_port_without_a_name_of_ours_may_be_in_the_default_vlan(runtime: Runtime, container: Space) -> None:
    result = add(runtime, container, **LAYER_2, vlan=100)
    runtime.host.run("ip", "link", "set", port(result), "alias", "")
    runtime.host.run("bridge", "vlan", "add", "dev", port(result), "vid", "1", "untagged")
    assert runtime.call("CHECK", container.path, prevResult=result, vlan=100, **LAYER_2) == {}
    runtime.host.run("bridge", "vlan", "add", "dev", port(result), "vid", "300")
    assert runtime.call("CHECK", container.path, prevResult=result, vlan=100, **LAYER_2)["code"] == 102


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        ("bridge vlan del dev PEER vid 100", "needs: vid 100 pvid untagged"),
        ("ip link set PEER nomaster", 'no port of bridge "br0"'),
        ("ip link set PEER down", "is down"),
        ("ip link delete br0.100", 'the gateway of VLAN 100, "br0.100", is missing'),
    ],
)
def test_check_names_a_broken_gateway_pair(runtime: Runtime, container: Space, harm: str, named: str) -> None:
    result = add(runtime, container, vlan=100)
    network = runtime.host.network
    gateway = network.link("br0.100")
    assert gateway is not None
    peer = network.link(gateway.peer)
    assert peer is not None
    runtime.host.run("bridge", "vlan", "add", "dev", peer.name, "vid", "300")  # whoever made it may have kept others
    assert runtime.call("CHECK", container.path, vlan=100, prevResult=result) == {}
    runtime.host.run(*harm.replace("PEER", peer.name).split())
    answer = runtime.call("CHECK", container.path, vlan=100, prevResult=result)
    assert (answer["code"], named in answer["msg"]) == (102, True), answer


def test_check_names_a_missing_gateway_of_the_vlan(runtime: Runtime, container: Space) -> None:
    result = add(runtime, container, vlan=100)
    runtime.host.run("ip", "address", "flush", "dev", "br0.100")
    answer = runtime.call("CHECK", container.path, vlan=100, prevResult=result)
    assert (answer["code"], 'on "br0.100"' in answer["msg"]) == (102, True)


def test_an_unfinished_gateway_pair_is_finished(runtime: Runtime, container: Space) -> None:
    runtime.host.run("ip", "link", "add", "br0.100", "type", "veth", "peer", "name", "half")
    add(runtime, container, vlan=100)
    assert members(runtime.host, "half") == {100: NATIVE}
    assert "1 received" in container.run("ping", "-c1", "-W2", "10.42.7.1")


def test_another_kind_of_link_in_the_gateways_place_is_refused(runtime: Runtime, container: Space) -> None:
    runtime.host.network.apply(AddBridge("br0.100"))
    answer = runtime.call("ADD", container.path, vlan=100)
    assert (answer["code"], answer["msg"]) == (103, '"br0.100" already exists but is not a veth')


def test_status_accepts_a_bridge_that_can_filter(runtime: Runtime) -> None:
    runtime.host.network.apply(AddBridge("br0"))
    assert runtime.call("STATUS", "", cniVersion="1.1.0", vlan=100) == {}
