"""Claims about bridge.check: it passes on what ADD made, and names the first thing that is missing."""

from collections.abc import Callable
from ipaddress import ip_interface

import pytest

from kernel.netlink.requests import DeleteAddress, DeleteLink, DeleteRoute, SetLink
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


def test_check_needs_the_earlier_result(runtime: Runtime, container: Space) -> None:
    add(runtime, container)
    assert "prevResult" in runtime.call("CHECK", container.path)["msg"]
