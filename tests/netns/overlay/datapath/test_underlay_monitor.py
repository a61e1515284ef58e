"""Claims about daemons whose host gets another place on the underlay while they run:

- an address that was replaced is published at once, with the same subnet and MAC, and peers follow; the daemon does not restart
- a changed MTU reaches device and lease file, down and up again
- an interface that goes down and comes back, or is made anew, carries everything again
- a pinned address that is gone is waited for: nothing moves, and readiness says why
- a MAC set by somebody else is put back: peers know the published one
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kernel.netlink.requests import AddVeth, DeleteLink, SetLink
from tests.lab import waiting
from tests.netns.overlay.conftest import Start
from tests.netns.overlay.daemons import DEVICE, Tulled, segment
from tests.netns.spaces import Space

Pair = tuple[Tulled, Tulled]


@pytest.fixture(params=["vxlan", "host-gw"])
def two(request: pytest.FixtureRequest, three: tuple[Space, ...], start: Start, tmp_path: Path) -> Pair:
    """Two hosts that reach each other, on a backend with a device and on one without."""
    config = tmp_path / "net.json"
    config.write_text(json.dumps({"Network": "10.42.0.0/16", "Backend": {"Type": request.param}}))
    store = ("--store", f"sqlite:{tmp_path / 'net.db'}", "--net-config", str(config), "--iface", "eth0")
    one, other = (start(space, *store, "--bridge", "tulle0", "--healthz-port", "8471") for space in three[:2])
    for daemon in (one, other):
        daemon.ready()
    reached(one, other)
    return one, other


def reached(one: Tulled, other: Tulled) -> None:
    for near, far in ((one, other), (other, one)):
        waiting.until(
            lambda a=near, b=far: a.reaches(b),  # type: ignore[misc]
            f"{near.space.name} reaches {far.space.name}",
            namespace=near.space.namespace,
        )


def test_a_replaced_address_is_published_with_the_same_subnet(two: Pair) -> None:
    one, other = two
    before = one.subnet
    one.space.run("ip", "address", "del", "192.0.2.1/24", "dev", "eth0")
    one.space.run("ip", "address", "add", "192.0.2.201/24", "dev", "eth0")
    ways = ("sh", "-c", f"ip route; bridge fdb show dev {DEVICE} || :")
    waiting.until(lambda: "192.0.2.201" in other.space.run(*ways), "peer moved", namespace=other.space.namespace)
    assert "192.0.2.1 " not in other.space.run(*ways)
    reached(one, other)
    assert one.subnet == before
    assert "underlay changed" in one.log.read_text()
    assert one.process.poll() is None


def test_a_changed_mtu_reaches_device_and_lease_file(two: Pair) -> None:
    one, other = two
    overhead = 1500 - (one.lease.mtu or 0)
    for mtu in (1400, 1500):
        one.space.run("ip", "link", "set", "eth0", "mtu", str(mtu))
        waiting.until(lambda: one.lease.mtu == mtu - overhead, f"lease file for {mtu}", namespace=one.space.namespace)  # noqa: B023 - looked at within the loop
        link = one.space.network.link(DEVICE)
        assert link is None or link.mtu == mtu - overhead
    reached(one, other)


def test_an_interface_that_was_down_carries_everything_again(two: Pair) -> None:
    one, other = two
    one.space.run("ip", "link", "set", "eth0", "down")
    waiting.until(lambda: not one.reaches(other), "cut off", namespace=one.space.namespace)
    one.space.run("ip", "link", "set", "eth0", "up")
    reached(one, other)


def test_an_interface_that_was_made_anew_carries_everything_again(
    make_space: Callable[[str], Space], start: Start
) -> None:
    spaces, wire = (make_space("one"), make_space("two")), make_space("wire")
    segment(wire, *spaces)
    one, other = (start(space, "--bridge", "tulle0", "--healthz-port", "8471").ready() for space in spaces)
    reached(one, other)
    mac, near = one.mac, spaces[0]
    near.network.apply(DeleteLink("eth0"))
    waiting.until(lambda: one.health("/readyz")[0] == 503, "not ready", namespace=near.namespace)
    wire.network.apply(AddVeth("port9", "eth0", near.namespace, master=wire.index("wire")))
    near.network.apply(SetLink("eth0", up=True))
    near.run("ip", "address", "add", "192.0.2.1/24", "dev", "eth0")
    reached(one, other)
    assert one.mac == mac


def test_a_pinned_address_that_is_gone_is_waited_for(hosts: tuple[Space, Space], start: Start, tmp_path: Path) -> None:
    flags = ("--network", "10.42.0.0/16", "--store", f"sqlite:{tmp_path / 'p.db'}", "--healthz-port", "8471")
    one = start(hosts[0], *flags, "--public-ip", "192.0.2.1", "--bridge", "tulle0").ready()
    other = start(hosts[1], *flags, "--iface", "eth0", "--bridge", "tulle0").ready()
    reached(one, other)
    one.space.run("ip", "address", "del", "192.0.2.1/24", "dev", "eth0")
    one.space.run("ip", "address", "add", "192.0.2.201/24", "dev", "eth0")
    waiting.until(lambda: one.health("/readyz")[0] == 503, "not ready", namespace=one.space.namespace)
    assert "eth0 has lost 192.0.2.1" in one.health("/readyz")[1]["missing"][0]
    one.space.run("ip", "address", "add", "192.0.2.1/24", "dev", "eth0")
    waiting.until(lambda: one.health("/readyz")[0] == 200, "ready", namespace=one.space.namespace)
    reached(one, other)


def test_a_mac_set_by_somebody_else_is_put_back(hosts: tuple[Space, Space], start: Start) -> None:
    one, other = (start(space, "--bridge", "tulle0").ready() for space in hosts)
    reached(one, other)
    published = one.mac
    one.space.run("ip", "link", "set", DEVICE, "address", "02:00:00:00:00:99")
    waiting.until(lambda: one.mac == published, "MAC put back", namespace=one.space.namespace)
    reached(one, other)
