"""Claims about the program bridge against the real kernel, with an IPAM program that answers what the test says.

* ADD: one or two families, gateway and default route, MTU, MAC, hairpin, isolation, attribution by alias, announced
  result; without IPAM the link is only raised.
* A refused ADD leaves no link and no rule, and gives the address back.
* DEL finishes: twice, without namespace, with the namespace gone, and never takes another attachment's interface.
* CHECK passes on what ADD made and names the first thing that is missing.
* GC removes strangers and nothing without a list; STATUS tells what is missing.
* The lease: taken for what is left open; missing, changed and contradicted.
Left out: real addresses from host-local (tests/e2e).
"""

import json
from collections.abc import Callable
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from kernel import sysctl
from kernel.requests import AddAddress, AddBridge, AddVeth, DeleteAddress, DeleteLink, DeleteRoute, SetLink
from tests.netns.bridge.conftest import FOUR, SIX, Runtime
from tests.netns.spaces import Space

LEASE = """FLANNEL_NETWORK=10.42.0.0/16
FLANNEL_SUBNET=10.42.7.1/24
FLANNEL_MTU=1450
FLANNEL_IPMASQ=false
"""


@pytest.fixture
def lease(tmp_path: Path) -> str:
    path = tmp_path / "subnet.env"
    path.write_text(LEASE)
    return str(path)


def add(runtime: Runtime, container: Space, **keys: Any) -> dict[str, Any]:
    result = runtime.call("ADD", container.path, **keys)
    assert "code" not in result, result
    return result


def test_add_connects_the_container_to_its_gateway(runtime: Runtime, container: Space) -> None:
    add(runtime, container)
    assert "1 received" in container.run("ping", "-c1", "-W2", "10.42.7.1")


def test_add_connects_two_families(runtime: Runtime, container: Space) -> None:
    runtime.ipam_answers(FOUR, SIX)
    add(runtime, container)
    assert "1 received" in container.run("ping", "-6", "-c1", "-W2", "fd00:42:0:7::1")


def test_the_result_lists_bridge_host_end_and_container_end(runtime: Runtime, container: Space) -> None:
    result = add(runtime, container)
    bridge, host_end, container_end = result["interfaces"]
    assert (bridge["name"], container_end["name"], container_end["sandbox"]) == ("br0", "eth0", container.path)
    links = {link.name: link.mac for link in runtime.host.network.links()}
    assert (links["br0"], links[host_end["name"]]) == (bridge["mac"], host_end["mac"])
    assert result["ips"] == [{**FOUR, "interface": 2}]
    assert result["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.42.7.1"}]


def test_the_host_end_names_its_attachment(runtime: Runtime, container: Space) -> None:
    add(runtime, container)
    assert runtime.veths() == ["net/c1/eth0"]


def test_port_and_link_options_reach_the_kernel(runtime: Runtime, container: Space) -> None:
    keys = {"mtu": 1400, "hairpinMode": True, "portIsolation": True, "runtimeConfig": {"mac": "02:00:00:00:00:07"}}
    result = add(runtime, container, **keys)
    port = runtime.host.network.link(result["interfaces"][1]["name"])
    end = container.network.link("eth0")
    assert port is not None
    assert end is not None
    assert (port.hairpin, port.isolated, port.mtu, port.operstate) == (True, True, 1400, "up")
    assert (end.mac, end.mtu) == ("02:00:00:00:00:07", 1400)


def test_host_forwards_and_ignores_router_advertisements(runtime: Runtime, container: Space) -> None:
    result = add(runtime, container)
    assert sysctl.read("net/ipv4/ip_forward", runtime.host.namespace) == "1"
    for link in ("br0", result["interfaces"][1]["name"]):
        assert sysctl.read(f"net/ipv6/conf/{link}/accept_ra", runtime.host.namespace) == "0"


def test_without_ipam_the_link_is_only_raised(runtime: Runtime, container: Space) -> None:
    result = add(runtime, container, ipam={}, isDefaultGateway=False)
    end = container.network.link("eth0")
    assert end is not None
    assert (end.operstate, "ips" in result, runtime.ipam_calls()) == ("up", False, [])


def test_a_container_end_can_be_left_down(runtime: Runtime, container: Space) -> None:
    add(runtime, container, ipam={}, isDefaultGateway=False, disableContainerInterface=True)
    end = container.network.link("eth0")
    assert end is not None
    assert not end.up


def test_routes_keep_their_attributes_and_several_gateways(runtime: Runtime, container: Space) -> None:
    routes = ({"dst": "192.0.2.0/24", "gw": "10.42.7.2", "mtu": 1300}, {"dst": "198.51.100.0/24", "table": 77})
    runtime.ipam_answers(FOUR, routes=(*routes, {"dst": "192.0.2.0/24", "gw": "10.42.7.3", "mtu": 1300}))
    add(runtime, container)
    shown = container.run("ip", "route", "show", "192.0.2.0/24")
    assert "mtu 1300" in shown
    assert "198.51.100.0/24 via 10.42.7.1" in container.run("ip", "route", "show", "table", "77")


def test_an_existing_bridge_is_used_as_it_is(runtime: Runtime, container: Space) -> None:
    runtime.host.network.apply(AddBridge("br0", mtu=1280))
    before = runtime.host.index("br0")
    add(runtime, container, mtu=1400)
    assert runtime.host.index("br0") == before


def test_another_kind_of_link_is_no_bridge(runtime: Runtime, container: Space) -> None:
    runtime.host.network.apply(AddVeth("br0", "far", None))
    answer = runtime.call("ADD", container.path)
    assert (answer["code"], answer["msg"]) == (103, '"br0" already exists but is not a bridge')


def test_masquerade_spares_the_own_subnet(runtime: Runtime, container: Space) -> None:
    add(runtime, container, ipMasq=True)
    (rule,) = runtime.masquerade()
    assert rule["comment"].endswith("net: net, if: eth0, id: c1")


def blocked_bridge(runtime: Runtime) -> None:
    runtime.host.network.apply(AddBridge("br0"))
    runtime.host.network.apply(AddAddress(runtime.host.index("br0"), ip_interface("172.31.0.1/24")))


def test_refused_add_leaves_nothing_and_gives_the_address_back(runtime: Runtime, container: Space) -> None:
    blocked_bridge(runtime)
    answer = runtime.call("ADD", container.path, ipMasq=True)
    assert (answer["code"], "already has an IP address different from 10.42.7.1/24" in answer["msg"]) == (103, True)
    assert (runtime.veths(), runtime.masquerade(), container.network.link("eth0")) == ([], [], None)
    assert runtime.ipam_calls() == ["ADD c1", "DEL c1"]


def test_force_address_replaces(runtime: Runtime, container: Space) -> None:
    blocked_bridge(runtime)
    add(runtime, container, forceAddress=True)
    present = {str(entry.address) for entry in runtime.host.network.addresses(runtime.host.index("br0"))}
    assert "10.42.7.1/24" in present
    assert "172.31.0.1/24" not in present


def test_a_late_refusal_takes_everything_back(runtime: Runtime, container: Space) -> None:
    runtime.ipam_answers(FOUR, routes=({"dst": "192.0.2.0/24", "gw": "203.0.113.1"},))
    answer = runtime.call("ADD", container.path, ipMasq=True)
    assert (answer["code"], "192.0.2.0/24" in answer["msg"]) == (100, True)
    assert (runtime.veths(), runtime.masquerade(), runtime.ipam_calls()[-1]) == ([], [], "DEL c1")


def test_an_interface_of_that_name_is_refused_and_kept(runtime: Runtime, container: Space) -> None:
    add(runtime, container)
    answer = runtime.call("ADD", container.path, container="c2")
    assert answer["msg"].startswith('container veth name ("eth0") peer provided ("veth')
    assert answer["msg"].endswith("already exists")
    assert runtime.veths() == ["net/c1/eth0"]


def test_a_path_that_is_no_namespace_is_refused_before_any_work(runtime: Runtime, tmp_path: Path) -> None:
    answer = runtime.call("ADD", str(tmp_path))
    assert (answer["code"], runtime.ipam_calls()) == (8, [])


def test_ipam_without_addresses_is_refused(runtime: Runtime, container: Space) -> None:
    runtime.ipam_answers()
    answer = runtime.call("ADD", container.path)
    assert answer["msg"] == "IPAM plugin returned missing IP config"
    assert runtime.ipam_calls() == ["ADD c1", "DEL c1"]


def test_del_leaves_nothing_that_names_the_attachment(runtime: Runtime, container: Space) -> None:
    add(runtime, container, ipMasq=True)
    assert runtime.call("DEL", container.path, ipMasq=True) == {}
    assert (runtime.veths(), runtime.masquerade(), container.network.link("eth0")) == ([], [], None)
    assert runtime.ipam_calls() == ["ADD c1", "DEL c1"]


@pytest.mark.parametrize("netns", ["", "/run/netns/no-such", "/etc/hostname"])
def test_del_finishes_without_the_namespace(runtime: Runtime, container: Space, netns: str) -> None:
    add(runtime, container, ipMasq=True)
    assert runtime.call("DEL", netns, ipMasq=True) == {}
    assert (runtime.veths(), runtime.masquerade(), runtime.ipam_calls()[-1]) == ([], [], "DEL c1")


def test_del_succeeds_twice_and_before_any_add(runtime: Runtime, container: Space) -> None:
    assert [runtime.call("DEL", container.path) for _ in range(2)] == [{}, {}]


def test_del_cleans_up_after_a_config_that_add_refuses(runtime: Runtime, container: Space) -> None:
    assert runtime.call("ADD", container.path, vlan=5)["code"] == 2
    assert runtime.call("DEL", container.path, vlan=5) == {}


def test_del_of_another_attachment_leaves_the_interface(runtime: Runtime, container: Space) -> None:
    add(runtime, container)
    assert runtime.call("DEL", container.path, container="c2") == {}
    assert runtime.veths() == ["net/c1/eth0"]


def test_del_goes_on_when_ipam_fails(runtime: Runtime, container: Space) -> None:
    add(runtime, container, ipMasq=True)
    (runtime.directory / "fake-ipam").write_text('#!/bin/sh\necho \'{"code": 42, "msg": "no"}\'; exit 1\n')
    answer = runtime.call("DEL", container.path, ipMasq=True)
    assert (answer["code"], answer["msg"]) == (42, "no")
    assert (runtime.veths(), runtime.masquerade()) == ([], [])


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


def test_check_needs_the_earlier_result(runtime: Runtime, container: Space) -> None:
    add(runtime, container)
    assert "prevResult" in runtime.call("CHECK", container.path)["msg"]


def test_gc_removes_strangers_and_keeps_the_rest(runtime: Runtime, make_space: Callable[[str], Space]) -> None:
    for name in ("c1", "c2"):
        assert "code" not in runtime.call("ADD", make_space(name).path, container=name, ipMasq=True)
    valid: dict[str, Any] = {
        "cniVersion": "1.1.0",
        "cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}],
    }
    assert runtime.call("GC", "", ipMasq=True, **valid) == {}
    assert runtime.veths() == ["net/c1/eth0"]
    assert [rule["comment"][-2:] for rule in runtime.masquerade()] == ["c1"]


def test_gc_without_a_list_removes_nothing(runtime: Runtime, container: Space) -> None:
    add(runtime, container, ipMasq=True)
    assert runtime.call("GC", "", ipMasq=True, cniVersion="1.1.0") == {}
    assert (runtime.veths(), len(runtime.masquerade())) == (["net/c1/eth0"], 1)


def test_status_asks_ipam(runtime: Runtime) -> None:
    assert runtime.call("STATUS", "", cniVersion="1.1.0", ipMasq=True) == {}
    assert [call.split()[0] for call in runtime.ipam_calls()] == ["STATUS"]


def test_lease_gives_mtu_gateway_and_masquerade(runtime: Runtime, container: Space, lease: str) -> None:
    result = add(runtime, container, subnetFile=lease)
    end = container.network.link("eth0")
    assert end is not None
    (rule,) = runtime.masquerade()
    assert (end.mtu, "10.42.0.0" in json.dumps(rule), "10.42.7.0" in json.dumps(rule)) == (1450, True, False)
    assert runtime.call("CHECK", container.path, subnetFile=lease, prevResult=result) == {}


@pytest.mark.parametrize(("verb", "code"), [("ADD", 11), ("STATUS", 50)])
def test_a_missing_lease_is_named_with_its_likely_cause(
    runtime: Runtime, container: Space, verb: str, code: int
) -> None:
    answer = runtime.call(verb, container.path, cniVersion="1.1.0", subnetFile="/no/such/subnet.env")
    assert (answer["code"], "/no/such/subnet.env" in answer["msg"], "tulled" in answer["details"]) == (code, True, True)


def test_del_check_and_gc_never_need_the_lease(runtime: Runtime, container: Space, lease: str) -> None:
    result = add(runtime, container, subnetFile=lease)
    Path(lease).unlink()
    keys: dict[str, Any] = {"cniVersion": "1.1.0", "subnetFile": lease}
    assert runtime.call("CHECK", container.path, **{**keys, "prevResult": {**result, "cniVersion": "1.1.0"}}) == {}
    assert runtime.call("GC", "", **(keys | {"cni.dev/valid-attachments": []})) == {}
    assert runtime.call("DEL", container.path, **keys) == {}
    assert (runtime.veths(), runtime.masquerade()) == ([], [])


def test_a_delegate_on_another_lease_is_undone_with_code_11(runtime: Runtime, container: Space, lease: str) -> None:
    runtime.ipam_answers({"address": "10.42.9.5/24", "gateway": "10.42.9.1"})
    answer = runtime.call("ADD", container.path, subnetFile=lease)
    assert (answer["code"], runtime.ipam_calls()) == (11, ["ADD c1", "DEL c1"])
    assert runtime.veths() == []


def move_lease(lease: str) -> None:
    Path(lease).write_text(LEASE.replace("10.42.7.1", "10.42.9.1"))


def test_a_changed_lease_is_refused_while_containers_are_on_the_bridge(
    runtime: Runtime, make_space: Callable[[str], Space], lease: str
) -> None:
    add(runtime, make_space("old"), subnetFile=lease)
    move_lease(lease)
    runtime.ipam_answers({"address": "10.42.9.5/24", "gateway": "10.42.9.1"})
    answer = runtime.call("ADD", make_space("new").path, container="c2", subnetFile=lease)
    assert (answer["code"], "10.42.7.0/24" in answer["msg"], "10.42.9.0/24" in answer["msg"]) == (103, True, True)


def test_a_changed_lease_replaces_the_gateway_of_an_empty_bridge(
    runtime: Runtime, container: Space, lease: str
) -> None:
    add(runtime, container, subnetFile=lease)
    runtime.call("DEL", container.path, subnetFile=lease)
    move_lease(lease)
    runtime.ipam_answers({"address": "10.42.9.5/24", "gateway": "10.42.9.1"})
    add(runtime, container, subnetFile=lease)
    present = [str(entry.address) for entry in runtime.host.network.addresses(runtime.host.index("br0"))]
    assert [address for address in present if "." in address] == ["10.42.9.1/24"]


def test_a_second_bridge_on_the_lease_is_refused_with_both_names(
    runtime: Runtime, make_space: Callable[[str], Space], lease: str
) -> None:
    add(runtime, make_space("first"), subnetFile=lease)
    runtime.ipam_answers({"address": "10.42.7.6/24", "gateway": "10.42.7.1"})
    answer = runtime.call("ADD", make_space("second").path, container="c2", subnetFile=lease, bridge="br1")
    assert (answer["code"], '"br0"' in answer["msg"], '"br1"' in answer["msg"]) == (103, True, True)
    assert runtime.veths() == ["net/c1/eth0"]
    assert runtime.host.network.link("br1") is None
