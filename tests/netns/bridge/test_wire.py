"""Claims about bridge.wire: what ADD builds in the real kernel, and that a refused ADD leaves nothing.

* One or two families are connected to their gateway; the host end names its attachment.
* Link, port and route options reach the kernel; without IPAM the link is only raised.
* An existing bridge is used as it is; anything else of that name is refused.
* A namespace is opened once: a path that is swapped meanwhile leads nothing astray. A name the kernel would change is refused.
* Whatever refuses, link, rule and address are taken back.
"""

from kernel import sysctl
from kernel.netlink.requests import AddBridge, AddVeth
from tests.netns.bridge.conftest import FOUR, SIX, Runtime, add
from tests.netns.spaces import Space


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


def test_a_name_the_kernel_would_number_is_refused_and_nothing_stays(runtime: Runtime, container: Space) -> None:
    answer = runtime.call("ADD", container.path, ifname="eth%d")
    assert (answer["code"], 'put a number in place of the "%"' in answer["msg"]) == (100, True)
    assert (runtime.veths(), runtime.ipam_calls()) == ([], ["ADD c1", "DEL c1"])
    assert runtime.call("ADD", container.path, bridge="br%d")["code"] == 100
    assert runtime.call("DEL", container.path, ifname="eth%d") == {}


SWAP = """#!/bin/sh
cat > /dev/null
ln -sfn {host} {path}
if [ "$CNI_COMMAND" = ADD ]; then cat {directory}/answer; fi
"""


def test_a_netns_path_that_leads_elsewhere_meanwhile_changes_nothing(runtime: Runtime, container: Space) -> None:
    """What was opened is what is wired: IPAM, called in between, makes the path lead to the host itself."""
    path = runtime.directory / "netns"
    path.symlink_to(container.path)
    program = runtime.directory / "fake-ipam"
    program.write_text(SWAP.format(host=runtime.host.path, path=path, directory=runtime.directory))
    assert "code" not in runtime.call("ADD", str(path))
    assert container.network.link("eth0") is not None
    assert runtime.host.network.link("eth0") is None
    assert runtime.call("DEL", str(path))["code"] == 8  # refused as the host's own, and cleaned up all the same
    assert (runtime.veths(), container.network.link("eth0")) == ([], None)
