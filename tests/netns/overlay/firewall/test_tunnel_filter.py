"""Claims: without the guard a stranger's packet reaches the inside of the network (the attack is real); with it it does not, whole
or in fragments, but peers' and allowed senders' do, and so does what has another VNI; the guard outlives the daemon.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from kernel import netns
from tests.lab import waiting
from tests.netns.overlay.conftest import Start
from tests.netns.overlay.daemons import DEVICE, Tulled, segment
from tests.netns.spaces import Space

PORT = 4242


class Stage:
    """A host with its daemon, a peer, and a stranger on the same wire who has a VXLAN device like ours."""

    def __init__(self, spaces: tuple[Space, ...], start: Start, stack: ExitStack, *flags: str) -> None:
        self._spaces, self._stack = spaces, stack
        self.host, self.peer = start(spaces[0], *flags).ready(), start(spaces[1]).ready()
        waiting.until(lambda: self.host.knows(self.peer), "peer known", namespace=spaces[0].namespace)

    def attack(self, vni: int, target: str, mac: str, size: int) -> bytes:
        """Send datagrams through a hand-made tunnel until one arrives or five did not; give what arrived."""
        stranger = self._spaces[2]
        tunnel = f"type vxlan id {vni} dstport 8472 local 192.0.2.3 nolearning"
        stranger.run("ip", "link", "add", "evil", "mtu", "4000", *tunnel.split())
        stranger.run("ip", "address", "add", "10.42.255.1/32", "dev", "evil")
        stranger.run("ip", "link", "set", "evil", "up")
        stranger.run("ip", "route", "add", target, "dev", "evil")
        stranger.run("ip", "neighbour", "add", target, "lladdr", mac, "dev", "evil")
        stranger.run("bridge", "fdb", "append", mac, "dev", "evil", "dst", "192.0.2.1")
        with netns.inside(self._spaces[0].namespace):
            inside = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with netns.inside(stranger.namespace):
            outside = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        inside.bind((target, PORT))
        inside.settimeout(0.3)
        for _ in range(5):
            outside.sendto(b"x" * size, (target, PORT))
            try:
                return inside.recv(8192)
            except TimeoutError:
                continue
        return b""


Act = Callable[..., Stage]


@pytest.fixture
def act(make_space: Callable[[str], Space], start: Start) -> Iterator[Act]:
    spaces = tuple(make_space(name) for name in ("one", "two", "three"))
    segment(make_space("wire"), *spaces)
    with ExitStack() as stack:
        yield lambda *flags: Stage(spaces, start, stack, *flags)


def _target(daemon: Tulled) -> tuple[str, str]:
    return daemon.base, daemon.mac


@pytest.mark.parametrize("size", [10, 3000])
def test_without_the_guard_a_strangers_packet_gets_in(act: Act, size: int) -> None:
    stage = act("--tunnel-guard=false")
    assert stage.attack(1, *_target(stage.host), size) == b"x" * size


@pytest.mark.parametrize("size", [10, 3000])
def test_with_the_guard_it_does_not_and_peers_do(act: Act, size: int) -> None:
    stage = act()
    assert stage.attack(1, *_target(stage.host), size) == b""
    stage.peer.ping(stage.host)


def test_an_allowed_sender_gets_in(act: Act) -> None:
    stage = act("--tunnel-allow", "192.0.2.3/32")
    assert stage.attack(1, *_target(stage.host), 10)


def test_the_guard_outlives_the_daemon(act: Act) -> None:
    stage = act()
    stage.host.end()
    assert stage.attack(1, *_target(stage.host), 10) == b""
    stage.peer.ping(stage.host)


def test_another_vni_on_the_same_port_is_not_touched(act: Act) -> None:
    stage = act()
    space = stage.host.space
    space.run(
        "ip",
        "link",
        "add",
        "other",
        "mtu",
        "4000",
        *["type", "vxlan", "id", "9", "dstport", "8472", "local", "192.0.2.1"],
    )
    space.run("ip", "address", "add", "10.99.0.1/32", "dev", "other")
    space.run("ip", "link", "set", "other", "up")
    link = space.network.link("other")
    assert link is not None
    assert stage.attack(9, "10.99.0.1", link.mac, 10) == b"x" * 10
    assert space.network.link(DEVICE)
