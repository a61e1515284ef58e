"""Claims about bridge.check (docs/plugins/bridge.md, "What CHECK compares"; its rows about VLANs: tests/guest/bridge).

* It passes on what ADD made, whatever the switches; it names the first thing that is missing or set otherwise, and the command to mend it.
* What the plan leaves to others is not compared: an MTU of 0, the MTU of a bridge, the one that `tuning` gives the container's end.
* A recorded MTU of the container's end is compared.
* What CHECK says of a port's settings keeps `tulle repair` from no rule.
"""

from collections.abc import Callable
from ipaddress import ip_interface
from typing import Any

import pytest

from kernel.netlink.requests import AddBridge, DeleteAddress, DeleteLink, DeleteRoute, SetLink
from tests.netns.bridge.conftest import FOUR, SIX, Runtime, add
from tests.netns.spaces import Space


def test_check_passes_on_what_add_made(runtime: Runtime, container: Space) -> None:
    runtime.ipam_answers(FOUR, SIX, routes=({"dst": "10.42.0.0/16"}, {"dst": "198.51.100.0/24", "table": 77}))
    result = add(runtime, container, ipMasq=True)
    assert runtime.call("CHECK", container.path, ipMasq=True, prevResult=result) == {}


def remove_address(runtime: Runtime, container: Space) -> None:
    container.network.apply(DeleteAddress(container.index("eth0"), ip_interface(FOUR["address"])))


def remove_route(runtime: Runtime, container: Space) -> None:
    container.network.apply(DeleteRoute(ip_interface("0.0.0.0/0").network, link=container.index("eth0")))


def remove_gateway(runtime: Runtime, container: Space) -> None:
    runtime.host.network.apply(DeleteAddress(runtime.host.index("br0"), ip_interface("10.42.7.1/24")))


def remove_end(runtime: Runtime, container: Space) -> None:
    container.network.apply(DeleteLink("eth0"))


def leave_bridge(runtime: Runtime, container: Space) -> None:
    (port,) = [link for link in runtime.host.network.links() if link.kind == "veth"]
    runtime.host.network.apply(SetLink(port.index, master=0))


def flush_rules(runtime: Runtime, container: Space) -> None:
    runtime.host.run("nft", "flush", "ruleset")


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (remove_address, "address 10.42.7.5/24"),
        (remove_route, "route to 0.0.0.0/0"),
        (remove_gateway, "gateway address 10.42.7.1/24"),
        (remove_end, 'interface "eth0"'),
        (leave_bridge, 'no port of bridge "br0"'),
        (flush_rules, "masquerade rules of net/c1/eth0"),
    ],
)
def test_check_names_what_is_missing(
    runtime: Runtime, container: Space, harm: Callable[[Runtime, Space], None], named: str
) -> None:
    result = add(runtime, container, ipMasq=True)
    harm(runtime, container)
    answer = runtime.call("CHECK", container.path, ipMasq=True, prevResult=result)
    assert (answer["code"], named in answer["msg"]) == (102, True), answer


def test_check_names_a_bridge_that_is_down(runtime: Runtime, container: Space) -> None:
    result = add(runtime, container)
    runtime.host.network.apply(SetLink("br0", up=False))
    answer = runtime.call("CHECK", container.path, prevResult=result)
    assert (answer["code"], answer["msg"], answer["remedy"]) == (102, 'bridge "br0" is down', "ip link set br0 up")


SETTINGS: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({"hairpinMode": True}, {"hairpin": False}, "has hairpin off", "bridge link set dev PORT hairpin on"),
    ({}, {"hairpin": True}, "has hairpin on", "bridge link set dev PORT hairpin off"),
    ({"portIsolation": True}, {"isolated": False}, "has isolated off", "bridge link set dev PORT isolated on"),
    ({}, {"isolated": True}, "has isolated on", "bridge link set dev PORT isolated off"),
    ({"mtu": 1400}, {"mtu": 1500}, "has MTU 1500 instead of 1400", "ip link set PORT mtu 1400"),
    ({}, {"up": False}, "is down", "ip link set PORT up"),
]


@pytest.mark.parametrize(("keys", "change", "named", "remedy"), SETTINGS)
def test_check_names_a_changed_port_and_its_remedy_mends_it(
    runtime: Runtime, container: Space, keys: dict[str, Any], change: dict[str, Any], named: str, remedy: str
) -> None:
    result = add(runtime, container, **keys)
    port = result["interfaces"][1]["name"]
    assert runtime.call("CHECK", container.path, prevResult=result, **keys) == {}
    runtime.host.network.apply(SetLink(port, **change))
    answer = runtime.call("CHECK", container.path, prevResult=result, **keys)
    assert (answer["code"], f'"{port}" {named}' in answer["msg"]) == (102, True), answer
    assert answer["remedy"] == remedy.replace("PORT", port)
    runtime.host.run(*answer["remedy"].split())
    assert runtime.call("CHECK", container.path, prevResult=result, **keys) == {}


def test_the_mtu_of_a_lease_is_compared(runtime: Runtime, container: Space, lease: str) -> None:
    result = add(runtime, container, subnetFile=lease)
    assert runtime.call("CHECK", container.path, prevResult=result, subnetFile=lease) == {}
    runtime.host.network.apply(SetLink(result["interfaces"][1]["name"], mtu=1500))
    answer = runtime.call("CHECK", container.path, prevResult=result, subnetFile=lease)
    assert (answer["code"], "MTU 1500 instead of 1450" in answer["msg"]) == (102, True), answer


def test_without_an_mtu_every_mtu_is_right(runtime: Runtime, container: Space) -> None:
    result = add(runtime, container, mtu=0)
    runtime.host.network.apply(SetLink(result["interfaces"][1]["name"], mtu=1300))
    assert runtime.call("CHECK", container.path, mtu=0, prevResult=result) == {}


def test_the_mtu_of_a_bridge_that_was_there_is_not_the_plans(runtime: Runtime, container: Space) -> None:
    runtime.host.network.apply(AddBridge("br0", mtu=1300))
    result = add(runtime, container, mtu=1400)
    assert runtime.call("CHECK", container.path, mtu=1400, prevResult=result) == {}


def test_a_later_program_may_give_the_containers_end_another_mtu(runtime: Runtime, container: Space) -> None:
    result = add(runtime, container, mtu=1400)
    container.network.apply(SetLink("eth0", mtu=1300))
    assert runtime.call("CHECK", container.path, mtu=1400, prevResult=result) == {}


@pytest.mark.parametrize(("recorded", "whole"), [(1300, True), (1400, False)])
def test_a_recorded_mtu_of_the_containers_end_is_compared(
    runtime: Runtime, container: Space, recorded: int, *, whole: bool
) -> None:
    result = add(runtime, container, cniVersion="1.1.0")
    container.network.apply(SetLink("eth0", mtu=1300))
    result["interfaces"][2]["mtu"] = recorded
    answer = runtime.call("CHECK", container.path, cniVersion="1.1.0", prevResult=result)
    assert (answer == {}) is whole, answer
    assert whole or "has MTU 1300, ADD recorded 1400" in answer["msg"]


def test_check_names_an_end_that_is_down(runtime: Runtime, container: Space) -> None:
    result = add(runtime, container, ipam={}, isDefaultGateway=False)
    container.network.apply(SetLink("eth0", up=False))
    answer = runtime.call("CHECK", container.path, ipam={}, isDefaultGateway=False, prevResult=result)
    assert (answer["code"], '"eth0"' in answer["msg"], "is down" in answer["msg"]) == (102, True, True), answer


def test_an_end_that_was_left_down_may_be_either(runtime: Runtime, container: Space) -> None:
    keys: dict[str, Any] = {"ipam": {}, "isDefaultGateway": False, "disableContainerInterface": True}
    result = add(runtime, container, **keys)
    assert runtime.call("CHECK", container.path, prevResult=result, **keys) == {}
    container.network.apply(SetLink("eth0", up=True))
    assert runtime.call("CHECK", container.path, prevResult=result, **keys) == {}


def test_check_needs_the_earlier_result(runtime: Runtime, container: Space) -> None:
    add(runtime, container)
    assert "prevResult" in runtime.call("CHECK", container.path)["msg"]
