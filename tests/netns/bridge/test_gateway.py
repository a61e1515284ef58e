"""Claims about bridge.gateway: addresses on the bridge, and one bridge to a lease.

* A contradicting address is refused, or replaced on demand; a refused ADD leaves nothing.
* A changed lease is refused while containers are on the bridge, and replaces the gateway of an empty one.
* A strict filter of reverse paths is made loose where our bridges and interfaces need it; IPv6 is switched on where it is asked for.
* A second bridge on a leased subnet is refused with both names, and not even made.
"""

from collections.abc import Callable
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from kernel import sysctl
from kernel.netlink.requests import AddAddress, AddBridge
from tests.netns.bridge.conftest import FOUR, LEASE, SIX, Runtime, add
from tests.netns.spaces import Space, cable


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


def outside(runtime: Runtime, make_space: Callable[[str], Space]) -> Space:
    """Make somebody who reaches the containers through the host, whose filter of reverse paths is strict everywhere."""
    made = make_space("outside")
    cable(runtime.host, "up=192.0.2.1/24", made, "eth0=192.0.2.2/24")
    made.run("ip", "route", "add", "default", "via", "192.0.2.1")
    for name in ("all", "default"):
        runtime.host.run("sysctl", "-qw", f"net.ipv4.conf.{name}.rp_filter=1")
    return made


@pytest.mark.parametrize("spoofchk", [False, True])
def test_a_container_on_two_networks_answers_by_either_where_the_filter_of_reverse_paths_is_strict(
    runtime: Runtime, container: Space, make_space: Callable[[str], Space], spoofchk: bool
) -> None:
    somebody = outside(runtime, make_space)
    container.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.default.rp_filter=1")
    add(runtime, container, spoofchk=spoofchk)
    runtime.ipam_answers({"address": "10.43.0.5/24", "gateway": "10.43.0.1"})
    second: dict[str, Any] = {
        "name": "second",
        "bridge": "br1",
        "ifname": "eth1",
        "isDefaultGateway": False,
        "isGateway": True,
    }
    assert "code" not in runtime.call("ADD", container.path, spoofchk=spoofchk, **second)
    for address in ("10.42.7.5", "10.43.0.5"):
        assert "1 received" in somebody.run("ping", "-c1", "-W2", address)
    looked_at = ("br0", "br1")
    assert [sysctl.read(f"net/ipv4/conf/{name}/rp_filter", runtime.host.namespace) for name in looked_at] == ["2", "2"]


def test_where_nothing_is_filtered_nothing_is(runtime: Runtime, container: Space) -> None:
    for space in (runtime.host, container):
        space.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")
    add(runtime, container)
    assert sysctl.read("net/ipv4/conf/br0/rp_filter", runtime.host.namespace) == "0"
    assert sysctl.read("net/ipv4/conf/eth0/rp_filter", container.namespace) == "0"


@pytest.mark.parametrize("where", ["all", "default"])
def test_ipv6_is_switched_on_where_an_address_of_it_is_wanted(runtime: Runtime, container: Space, where: str) -> None:
    for space in (runtime.host, container):
        space.run("sysctl", "-qw", f"net.ipv6.conf.{where}.disable_ipv6=1")
    runtime.ipam_answers(FOUR, SIX)
    add(runtime, container)
    assert "1 received" in container.run("ping", "-6", "-c1", "-W2", "fd00:42:0:7::1")


def test_ipv6_is_switched_on_at_a_bridge_that_stands(runtime: Runtime, container: Space) -> None:
    runtime.host.network.apply(AddBridge("br0"))
    runtime.host.run("sysctl", "-qw", "net.ipv6.conf.br0.disable_ipv6=1")
    runtime.ipam_answers(SIX)
    add(runtime, container)
    assert "1 received" in container.run("ping", "-6", "-c1", "-W2", "fd00:42:0:7::1")
