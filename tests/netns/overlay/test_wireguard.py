"""Claims about two hosts with the backend wireguard and both address families, in each of its modes: both families are carried; packets
go to the address of the mode; keepalive and preshared key are set; after a reboot the host has its key, and is reached at once.

Where the kernel has no WireGuard the device is wireguard-go's; tests/guest/overlay holds the kernel's own to the same.
"""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kernel.netlink.objects import Link
from kernel.netlink.requests import DeleteLink
from tests.lab import waiting
from tests.netns.overlay.conftest import CARRIED, Start
from tests.netns.overlay.daemons import Tulled
from tests.netns.overlay.test_backends import own_run
from tests.netns.spaces import Space, cable

PSK = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
ENDPOINTS = {
    "separate": {"flannel-wg": "10.99.0.2:51820", "flannel-wg-v6": "[2001:db8::2]:51821"},
    "auto": {"flannel-wg": "[2001:db8::2]:51820"},
    "ipv4": {"flannel-wg": "10.99.0.2:51820"},
    "ipv6": {"flannel-wg": "[2001:db8::2]:51820"},
}
Begin = Callable[[int], Tulled]


@pytest.fixture(params=ENDPOINTS)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def wired(make_space: Callable[[str], Space]) -> Iterator[tuple[Space, Space]]:
    """Two hosts on one wire with both families; what daemons left behind ends with it, so it must outlive them."""
    spaces = make_space("one"), make_space("two")
    cable(spaces[0], "eth0=10.99.0.1/24", spaces[1], "eth0=10.99.0.2/24")
    for number, space in enumerate(spaces):
        space.run("ip", "address", "add", f"2001:db8::{number + 1}/64", "dev", "eth0", "nodad")
    yield spaces
    for space in spaces:  # a userspace carrier ends with its device
        space.network.attempt(DeleteLink(name) for name in CARRIED)


@pytest.fixture
def begin(mode: str, wired: tuple[Space, Space], start: Start, tmp_path: Path) -> Iterator[Begin]:
    """Start the daemon of a host, 0 or 1."""
    backend = {"Type": "wireguard", "Mode": mode, "PSK": PSK, "PersistentKeepaliveInterval": 7}
    network = {"Network": "10.42.0.0/16", "EnableIPv6": True, "IPv6Network": "fd00:42::/48", "Backend": backend}
    config = tmp_path / "net.json"
    config.write_text(json.dumps(network))
    with ExitStack() as stack:
        runs = [stack.enter_context(own_run()) for _ in wired]
        store = ("--store", f"sqlite:{tmp_path / 'net.db'}", "--net-config", str(config), "--iface", "eth0")

        def one(number: int) -> Tulled:
            key = ("--wireguard-key-file", str(tmp_path / f"key{number}"))
            return start(wired[number], *store, *key, "--bridge", "tulle0", within=runs[number])

        yield one


def gateways(daemon: Tulled) -> tuple[str, str]:
    assert daemon.lease.ipv6_subnet is not None
    return daemon.gateway, str(daemon.lease.ipv6_subnet.ip)


def reached(one: Tulled, other: Tulled, within: float = 10.0) -> None:
    for address in gateways(other):
        ping = ("sh", "-c", f"ping -c1 -W1 {address} >/dev/null && echo reached || :")
        waiting.until(lambda words=ping: one.space.run(*words), f"{address} reached", within=within)  # type: ignore[misc]


def wg(daemon: Tulled, *words: str) -> str:
    """Ask `wg` in the daemon's own place."""
    return daemon.space.run(*daemon.within[:-2], "--", "wg", *words)


def test_a_mode_carries_both_families_and_a_reboot_keeps_the_key(mode: str, begin: Begin) -> None:
    assert all(device.up for device in tell_the_story(mode, begin))


def tell_the_story(mode: str, begin: Begin) -> list[Link]:
    """Live through a start, traffic and a reboot, and give the devices of the host that stayed."""
    one, other = begin(0), begin(1)
    one.ready()
    other.ready()
    reached(one, other)
    reached(other, one)
    for device, endpoint in ENDPOINTS[mode].items():
        key, *said = wg(one, "show", device, "endpoints").split()
        assert said == [endpoint]
        assert wg(one, "show", device, "persistent-keepalive").split() == [key, "7"]
        assert wg(one, "show", device, "preshared-keys").split() == [key, PSK]
    before = wg(other, "show", "flannel-wg", "public-key")
    other.end(signal.SIGKILL)
    other.space.network.attempt(DeleteLink(name) for name in (*CARRIED, "tulle0"))
    again = begin(1).ready()
    assert wg(again, "show", "flannel-wg", "public-key") == before
    reached(one, again, within=12)
    return [link for link in one.space.network.links() if link.name in ENDPOINTS[mode]]
