"""Claims about who reaches whom, with real packets through both backends (docs/reference/cni.md 5, firewall, integration; 6, row 9).

* Under every policy: the matrix of containers on one bridge, on another one, and the outside, in both families, with and
  without br_netfilter.
* A published port is reached under every policy: from outside, from the other bridge, from a neighbour, by itself.
* Where the host drops what it forwards, containers of the iptables backend still get answers; the administrator's chain is first.
"""

import pytest

from kernel import sysctl
from tests.netns.firewall.conftest import UPLINK, Container, Runtime
from tests.netns.portmap.conftest import PATIENCE, REFUSAL, visit
from tests.netns.spaces import Space


def reaches(visitor: Space, server: Container, address: str, *, expected: bool) -> bool:
    """Tell whether a visitor gets in; how long it tries follows from what is expected, not what it finds."""
    try:
        return visit(visitor, address, 80, PATIENCE if expected else REFUSAL).startswith(server.name)
    except OSError:
        return False


def filtered(runtime: Runtime, value: str) -> None:
    for program in ("iptables", "ip6tables"):
        sysctl.write(f"net/bridge/bridge-nf-call-{program}", value, runtime.host.namespace)


@pytest.mark.parametrize("bridged", ["0", "1"], ids=["", "br_netfilter"])
@pytest.mark.parametrize(
    ("policy", "neighbour", "other"), [("open", True, True), ("same-bridge", True, False), ("isolated", False, False)]
)
def test_the_matrix(each: Runtime, outside: Space, policy: str, neighbour: bool, other: bool, bridged: str) -> None:
    filtered(each, bridged)
    one, two, three = each.serving(5, "br1"), each.serving(6, "br1"), each.serving(7, "br2")
    for container in (one, two, three):
        each.add(container, ingressPolicy=policy)
    ways = [
        (one.space, two, neighbour),
        (one.space, three, other),
        (three.space, one, other),
        (outside, one, True),
        (each.host, one, True),
    ]
    for family in ("four", "six"):
        seen = [reaches(by, to, getattr(to, family), expected=expected) for by, to, expected in ways]
        assert seen == [expected for _, _, expected in ways]


@pytest.mark.parametrize("bridged", ["0", "1"], ids=["", "br_netfilter"])
@pytest.mark.parametrize("policy", ["open", "same-bridge", "isolated"])
def test_published_ports_are_reached(each: Runtime, outside: Space, policy: str, bridged: str) -> None:
    filtered(each, bridged)
    one, two, three = each.serving(5, "br1"), each.container(6, "br1"), each.container(7, "br2")
    each.publish(one, 8080)
    for container in (one, two, three):
        each.add(container, ingressPolicy=policy)
    for visitor in (outside, three.space, two.space, one.space):
        assert visit(visitor, UPLINK, 8080).startswith("c5")


def test_a_host_that_drops_lets_containers_out(runtime: Runtime, outside: Space) -> None:
    container = runtime.serving(5, "br1")
    runtime.host.run("iptables", "-P", "FORWARD", "DROP")
    server = runtime.serving(6, "br2")
    assert not reaches(container.space, server, server.four, expected=False)
    runtime.add(container, backend="iptables")
    assert reaches(container.space, server, server.four, expected=True)
    assert not reaches(outside, container, container.four, expected=False)


def test_the_administrators_chain_is_asked_first(each: Runtime) -> None:
    container, server = each.container(5, "br1"), each.serving(6, "br2")
    each.add(container, iptablesAdminChainName="MINE")
    assert reaches(container.space, server, server.four, expected=True)
    if each.config["backend"] == "iptables":
        each.host.run("iptables", "-A", "MINE", "-s", container.four, "-j", "DROP")
    else:
        each.host.run("nft", "add", "rule", "inet", "cni_firewall", "MINE", "ip", "saddr", container.four, "drop")
    assert not reaches(container.space, server, server.four, expected=False)
