"""Claims: a stand is left only when its interface has lost an address; another address there is taken at once, another interface after
GRACE seconds, but never one with an address of the network itself; a changed MTU is a new stand; while nothing can be used all stays and the reason is said, and an underlay that the
backend refuses changes nothing.
"""

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

import pytest

from overlay.backends import Underlay, registry
from overlay.config import network
from overlay.datapath import underlay as interfaces
from overlay.datapath.underlay import InterfaceSelection
from overlay.datapath.underlay_monitor import GRACE, UnderlayMonitor, UnderlayState
from overlay.subnet.state_machine import LeasePolicy
from tests.unit.overlay.datapath.test_underlay import ETH0, ETH1, LO, Tables, held, route

CONFIG = network.parse('{"Network": "10.42.0.0/16", "Backend": {"Type": "vxlan"}}', "x")
NEW, OTHER = held(2, "192.0.2.200/24"), held(3, "198.51.100.1/24")


def build(underlay: Underlay) -> UnderlayState:
    backend = registry.build(CONFIG, underlay, {})
    return UnderlayState(underlay, backend, LeasePolicy(CONFIG, underlay.public_ip, backend.attributes))


@dataclass
class Host:
    """A ground over tables that change, and a clock."""

    wish: InterfaceSelection = field(default_factory=InterfaceSelection)
    tables: Tables = field(default_factory=Tables)
    time: float = 0.0

    def __post_init__(self) -> None:
        first = build(interfaces.choose(self.tables, self.wish, dual=False))
        self.ground = UnderlayMonitor(first, build, self.wish, self.tables, lambda: self.time, dual=False)

    def look(self) -> str:
        """Give the address of a new stand, empty when it is the old one."""
        fresh = self.ground.look()
        return str(fresh.policy.public_ip) if fresh else ""


@pytest.fixture
def host() -> Host:
    return Host()


def test_nothing_new_is_no_new_stand(host: Host) -> None:
    assert (host.look(), host.ground.problem) == ("", "")
    host.tables.held.insert(0, NEW)
    assert host.look() == "", "an address more is no reason to leave the one in use"


def test_an_address_that_was_replaced_is_taken_at_once(host: Host) -> None:
    host.tables.held = [NEW, OTHER]
    assert (host.look(), host.ground.problem) == ("192.0.2.200", "")
    assert host.ground.stand.underlay.public_ip == IPv4Address("192.0.2.200")
    assert host.look() == ""


def test_a_moment_without_an_address_moves_nobody(host: Host) -> None:
    host.tables.held, host.tables.ways = [OTHER], [route("0.0.0.0/0", 3)]
    assert host.look() == ""
    assert host.ground.problem == "eth0 has lost 192.0.2.1, eth1 is next"
    host.tables.held = [held(2, "192.0.2.1/24")]
    assert (host.look(), host.ground.problem) == ("", "")


def test_another_interface_is_taken_when_the_first_stays_away(host: Host) -> None:
    host.tables.held, host.tables.ways = [OTHER], [route("0.0.0.0/0", 3)]
    assert host.look() == ""
    host.time += GRACE
    assert host.look() == "198.51.100.1"
    assert (host.ground.stand.underlay.interface, host.ground.problem) == ("eth1", "")


def test_our_own_bridge_is_no_underlay(host: Host) -> None:
    host.tables.held, host.tables.ways = [held(3, "10.42.9.1/24")], [route("0.0.0.0/0", 3)]
    assert host.look() == ""
    host.time += 2 * GRACE
    assert (host.look(), host.ground.problem) == (
        "",
        "eth0 has lost 192.0.2.1, eth1 has an address of 10.42.0.0/16 and is not taken",
    )


def test_a_pinned_address_that_is_gone_is_said_and_waited_for() -> None:
    host = Host(InterfaceSelection(public_ip="192.0.2.1"))
    host.tables.held = [NEW]
    host.time += 2 * GRACE
    assert host.look() == ""
    assert host.ground.problem.startswith(
        "eth0 has lost 192.0.2.1: no interface for the tunnels: --public-ip 192.0.2.1"
    )


def test_a_pinned_address_stays_published_when_the_interfaces_own_changes() -> None:
    host = Host(InterfaceSelection(names=("eth0",), public_ip="203.0.113.7"))
    host.tables.held = [NEW]
    assert host.look() == "203.0.113.7"
    assert host.ground.stand.underlay.local == IPv4Address("192.0.2.200")


def test_a_changed_mtu_is_a_new_stand_that_remembers_the_old_one(host: Host) -> None:
    host.tables.all_links = (LO, replace(ETH0, mtu=1400), ETH1)
    assert host.look() == "192.0.2.1"
    assert (host.ground.stand.backend.mtu, host.ground.stand.underlay.earlier_mtu) == (1350, 1500)
    assert host.look() == ""


def test_an_underlay_the_backend_refuses_changes_nothing(host: Host) -> None:
    host.tables.all_links = (LO, replace(ETH0, mtu=60), ETH1)
    assert host.look() == ""
    assert "the MTU of eth0 is 60: too little is left" in host.ground.problem
    assert host.ground.stand.underlay.mtu == 1500
