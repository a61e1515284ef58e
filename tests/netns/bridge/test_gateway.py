"""Claims about bridge.gateway: addresses on the bridge, and one bridge to a lease.

* A contradicting address is refused, or replaced on demand; a refused ADD leaves nothing.
* A changed lease is refused while containers are on the bridge, and replaces the gateway of an empty one.
* A second bridge on a leased subnet is refused with both names, and not even made.
"""

from collections.abc import Callable
from ipaddress import ip_interface
from pathlib import Path

from kernel.requests import AddAddress, AddBridge
from tests.netns.bridge.conftest import LEASE, Runtime, add
from tests.netns.spaces import Space


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
