"""Claims, each with an attack that gets in without the guard and does not with it: what a container sends to another host's tunnel, or
its own host's, whole, in fragments or behind another datagram, under its own address or a peer's, whatever rp_filter says, does not get in; of a peer only what comes from its own subnet,
and only what goes to ours; nothing of that is forwarded or leaves under our address; what comes out of the tunnel is no tunnel's packet
again; nobody behind the tunnel is answered who asks for a neighbour, or teaches one, with the guard or without; fragments
are judged by what they are put together to. A peer's own packets arrive, also in fragments, and so do those of another VNI from container to container. The rules are there again
after a flush, and what was dropped is counted by its reason with its sender.
"""

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kernel import netns
from kernel.netlink.requests import AddVeth, SetLink
from overlay.firewall import drop_counters
from tests.lab import waiting
from tests.netns.overlay import packets
from tests.netns.overlay.conftest import Start
from tests.netns.overlay.daemons import DEVICE, Tulled
from tests.netns.spaces import Space

PORT = 4242
BOTH = [False, True]
VXLAN = {"Network": "10.42.0.0/16", "Backend": {"Type": "vxlan"}}
DUAL = {"Network": "10.42.0.0/16", "EnableIPv6": True, "IPv6Network": "fd00:42::/48", "Backend": {"Type": "vxlan"}}


@dataclass(frozen=True, slots=True)
class Stage:
    """Two hosts with a daemon each, a stranger on their wire, and a container of the first host."""

    one: Tulled
    two: Tulled
    stranger: Space
    container: Space

    def arrives(
        self, place: Space, address: str, attack: Callable[[], None], data: bytes = b"in", port: int = PORT
    ) -> bool:
        """Tell whether a datagram reaches a port of an address while an attack is carried out up to five times."""
        with netns.inside(place.namespace):
            ear = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        with ear:
            ear.bind((address, port))
            ear.settimeout(0.3)
            for _ in range(5):
                attack()
                try:
                    return ear.recv(8192) == data
                except TimeoutError:
                    continue
        return False

    def forged(self, to: Tulled, source: str, target: str = "", data: bytes = b"in") -> bytes:
        """Write what gets a datagram from `source` out of a host's tunnel, as far as the tunnel itself cares."""
        return packets.vxlan(packets.ethernet(to.mac, packets.datagram(source, target or to.base, PORT, data)))


Act = Callable[..., Stage]


@pytest.fixture
def act(three: tuple[Space, ...], make_space: Callable[[str], Space], start: Start, tmp_path: Path) -> Act:
    for number, space in enumerate(three, start=1):
        space.run("ip", "address", "add", f"2001:db8::{number}/64", "dev", "eth0", "nodad")

    def begin(*flags: str, config: dict[str, Any] = VXLAN, guarded: bool = True, far: bool = True) -> Stage:
        (tmp_path / "net.json").write_text(json.dumps(config))
        common = ["--store", f"sqlite:{tmp_path / 'net.db'}", "--net-config", str(tmp_path / "net.json")]
        common += ["--iface", "eth0", "--bridge", "tulle0", *flags]
        common += [] if any(one.startswith("--ip-masq") for one in flags) else ["--ip-masq"]
        one, two = (
            start(space, *common, f"--tunnel-guard={str(guard).lower()}")
            for space, guard in zip(three, (guarded, guarded and far), strict=False)
        )
        one.ready()
        two.ready()
        device = config["Backend"]["Type"] == "vxlan"
        known = (lambda: one.knows(two) and two.knows(one)) if device else (lambda: one.reaches(two))
        waiting.until(known, "peers known", namespace=three[0].namespace)
        return Stage(one, two, three[2], _container(make_space, one, "c5"))

    return begin


def _container(make_space: Callable[[str], Space], daemon: Tulled, name: str) -> Space:
    """Attach a pretend container with the fifth address of a host's subnets; what it is given to forward goes to the host."""
    space, host = make_space(name), daemon.space
    host.network.apply(AddVeth(name, "eth0", space.namespace, master=host.index("tulle0")), SetLink(name, up=True))
    space.network.apply(SetLink("eth0", up=True))
    for gateway in (daemon.lease.subnet, daemon.lease.ipv6_subnet):
        if gateway is not None:
            space.run(
                "ip",
                "address",
                "add",
                f"{gateway.ip + 4}/{gateway.network.prefixlen}",
                "dev",
                "eth0",
                *(["nodad"] if gateway.version == 6 else []),
            )
            space.run("ip", f"-{gateway.version}", "route", "add", "default", "via", str(gateway.ip))
    return space


def _mac(space: Space, name: str) -> str:
    link = space.network.link(name)
    assert link is not None
    return link.mac


def _address(stage: Stage, number: int) -> str:
    assert stage.one.lease.subnet is not None
    return str(stage.one.lease.subnet.network[number])


@pytest.mark.parametrize("guarded", BOTH)
@pytest.mark.parametrize("source", ["10.42.99.9", "203.0.113.9", "container"])
def test_a_container_does_not_reach_another_hosts_inside(act: Act, source: str, guarded: bool) -> None:
    stage = act(guarded=guarded, far=False)
    data = stage.forged(stage.two, _address(stage, 5) if source == "container" else source)
    attack = lambda: packets.send(stage.container, "192.0.2.2", 8472, data)  # noqa: E731 - said once
    assert stage.arrives(stage.two.space, stage.two.base, attack) == (not guarded)


@pytest.mark.parametrize("guarded", BOTH)
@pytest.mark.parametrize("cut", [8, 48])
def test_nor_in_fragments(act: Act, cut: int, guarded: bool) -> None:
    stage = act("--ip-masq=false", guarded=guarded, far=False)
    source, data = _address(stage, 5), stage.forged(stage.two, "10.42.99.9")
    parts = tuple(packets.fragments(source, "192.0.2.2", packets.udp(source, "192.0.2.2", 8472, data), cut))
    attack = lambda: packets.send_raw(stage.container, "eth0", _mac(stage.one.space, "tulle0"), *parts)  # noqa: E731
    assert stage.arrives(stage.two.space, stage.two.base, attack) == (not guarded)


def test_a_container_has_a_vxlan_of_its_own_with_another_one(act: Act, make_space: Callable[[str], Space]) -> None:
    stage = act()
    there = _container(make_space, stage.two, "c6")
    target, frame = str(stage.two.subnet[5]), packets.ethernet("02:00:00:00:00:07", b"in")
    ours, other = (packets.vxlan(frame, vni) for vni in (1, 9))
    assert stage.arrives(there, target, lambda: packets.send(stage.container, target, 8472, other), other, 8472)
    assert not stage.arrives(there, target, lambda: packets.send(stage.container, target, 8472, ours), ours, 8472)


@pytest.mark.parametrize("guarded", BOTH)
@pytest.mark.parametrize("to", ["192.0.2.2", "own host", "gateway"])
def test_nor_hidden_behind_another_datagram_in_one_packet(act: Act, to: str, guarded: bool) -> None:
    stage = act(guarded=guarded, far=False)
    host = stage.two if to == "192.0.2.2" else stage.one
    hidden = stage.forged(host, str(stage.two.subnet[9]) if host is stage.one else "10.42.99.9")
    harmless = packets.vxlan(b"x" * (len(hidden) - 8), 9)
    target = {"own host": "192.0.2.1", "gateway": stage.one.gateway}.get(to, to)
    attack = lambda: packets.send(stage.container, target, 8472, harmless + hidden, segment=len(hidden))  # noqa: E731
    arrived = not guarded
    assert stage.arrives(host.space, host.base, attack) == arrived


@pytest.mark.parametrize("guarded", BOTH)
@pytest.mark.parametrize("filtered", [0, 2])
@pytest.mark.parametrize("to", ["192.0.2.1", "gateway"])
def test_a_container_cannot_be_a_peer_to_its_own_host(act: Act, to: str, filtered: int, guarded: bool) -> None:
    stage = act(guarded=guarded)
    for name in ("all", "tulle0", "eth0"):
        stage.one.space.run("sysctl", "-qw", f"net/ipv4/conf/{name}/rp_filter={filtered}")
    target = stage.one.gateway if to == "gateway" else to
    packet = packets.datagram("192.0.2.2", target, 8472, stage.forged(stage.one, str(stage.two.subnet[9])))
    attack = lambda: packets.send_raw(stage.container, "eth0", _mac(stage.one.space, "tulle0"), packet)  # noqa: E731
    assert stage.arrives(stage.one.space, stage.one.base, attack) == (not guarded)


@pytest.mark.parametrize("guarded", BOTH)
def test_a_container_cannot_be_another_host_to_a_third(act: Act, guarded: bool) -> None:
    stage = act(guarded=guarded, far=False)
    stage.one.space.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0")
    packet = packets.datagram("192.0.2.3", "192.0.2.2", 8472, stage.forged(stage.two, _address(stage, 9)))
    attack = lambda: packets.send_raw(stage.container, "eth0", _mac(stage.one.space, "tulle0"), packet)  # noqa: E731
    assert stage.arrives(stage.two.space, stage.two.base, attack) == (not guarded)


INNER = {
    "its own subnet": True,
    "its own address": True,
    "no peer's": False,
    "ours": False,
    "another peer's": False,
    "outside": False,
}


@pytest.mark.parametrize("who", INNER)
def test_of_a_peer_only_what_is_its_own_arrives(act: Act, who: str) -> None:
    stage = act()
    sources = {"its own subnet": str(stage.two.subnet[9]), "its own address": "192.0.2.2", "no peer's": "10.42.250.9"}
    sources |= {"ours": _address(stage, 9), "another peer's": "192.0.2.3", "outside": "203.0.113.9"}
    data = stage.forged(stage.one, sources[who])
    attack = lambda: packets.send(stage.two.space, "192.0.2.1", 8472, data)  # noqa: E731
    assert stage.arrives(stage.one.space, stage.one.base, attack) == INNER[who]


@pytest.mark.parametrize("guarded", BOTH)
@pytest.mark.parametrize("target", ["192.0.2.3", "192.0.2.1"])
def test_what_does_not_go_to_our_subnet_goes_nowhere(act: Act, target: str, guarded: bool) -> None:
    stage = act(guarded=guarded)
    for name in ("all", DEVICE):
        stage.one.space.run("sysctl", "-qw", f"net/ipv4/conf/{name}/rp_filter=0")
    data = stage.forged(stage.one, str(stage.two.subnet[9]), target)
    attack = lambda: packets.send(stage.two.space, "192.0.2.1", 8472, data)  # noqa: E731
    place = stage.stranger if target == "192.0.2.3" else stage.one.space
    assert stage.arrives(place, target, attack) == (not guarded)


@pytest.mark.parametrize("guarded", BOTH)
def test_what_comes_out_of_the_tunnel_is_no_tunnels_packet(act: Act, guarded: bool) -> None:
    stage = act(guarded=guarded)
    nested = stage.forged(stage.one, "203.0.113.9")
    inner = packets.datagram("192.0.2.2", stage.one.base, 8472, nested)
    data = packets.vxlan(packets.ethernet(stage.one.mac, inner))
    for name in ("all", DEVICE):
        stage.one.space.run("sysctl", "-qw", f"net/ipv4/conf/{name}/rp_filter=0")
    attack = lambda: packets.send(stage.two.space, "192.0.2.1", 8472, data)  # noqa: E731
    assert stage.arrives(stage.one.space, stage.one.base, attack) == (not guarded)


def _neighbours(stage: Stage, device: str) -> list[str]:
    said = stage.one.space.run("ip", "neigh", "show", "dev", device, "nud", "all")
    return [line for line in said.splitlines() if "PERMANENT" not in line and "NOARP" not in line]


def _answers(stage: Stage, device: str) -> int:
    said = json.loads(stage.one.space.run("ip", "-json", "-s", "link", "show", device))
    return int(said[0]["stats64"]["tx"]["packets"])


@pytest.mark.parametrize("guarded", BOTH)
@pytest.mark.parametrize("operation", [1, 2])
def test_nobody_behind_the_tunnel_teaches_a_neighbour(act: Act, operation: int, guarded: bool) -> None:
    stage = act(guarded=guarded)
    stage.one.space.run("sysctl", "-qw", "net.ipv4.conf.all.arp_accept=1")
    asked = packets.arp(operation, "02:00:00:00:00:77", str(stage.two.subnet[9]), stage.one.base)
    before = _answers(stage, DEVICE)
    for to in (stage.one.mac, "ff:ff:ff:ff:ff:ff"):
        packets.send(stage.two.space, "192.0.2.1", 8472, packets.vxlan(packets.ethernet(to, asked, packets.ARP)))
    stage.two.ping(stage.one)
    assert (_neighbours(stage, DEVICE), _answers(stage, DEVICE) - before) == ([], 1)


def test_nor_does_he_with_ipv6(act: Act) -> None:
    stage = act(config=DUAL)
    six = stage.one.lease.ipv6_subnet
    theirs = stage.two.lease.ipv6_subnet
    assert six is not None
    assert theirs is not None
    base, device = str(six.network[0]), "flannel-v6.1"
    asked = packets.solicitation(str(theirs.network[9]), base, "02:00:00:00:00:77")
    before = _answers(stage, device)
    packets.send(
        stage.two.space, "2001:db8::1", 8472, packets.vxlan(packets.ethernet(_mac(stage.one.space, device), asked))
    )
    stage.two.space.run("ping", "-c1", "-W2", base)
    assert (_neighbours(stage, device), _answers(stage, device) - before) == ([], 1)


@pytest.mark.parametrize("cut", [8, 40, 104])
@pytest.mark.parametrize("who", ["a stranger", "a peer for another", "a peer"])
def test_fragments_of_ipv6_are_judged_by_what_they_become(act: Act, who: str, cut: int) -> None:
    stage = act("--ip-masq=false", config=DUAL)
    six, theirs = stage.one.lease.ipv6_subnet, stage.two.lease.ipv6_subnet
    assert six is not None
    assert theirs is not None
    device, base = "flannel-v6.1", str(six.network[0])
    inner = "fd00:42:0:ff::9" if who == "a peer for another" else str(theirs.network[9])
    frame = packets.ethernet(_mac(stage.one.space, device), packets.datagram(inner, base, PORT, b"x" * 200))
    outer = "2001:db8::3" if who == "a stranger" else "2001:db8::2"
    sender = stage.stranger if who == "a stranger" else stage.two.space
    parts = tuple(
        packets.fragments(outer, "2001:db8::1", packets.udp(outer, "2001:db8::1", 8472, packets.vxlan(frame)), cut)
    )
    attack = lambda: packets.send_raw(sender, "eth0", _mac(stage.one.space, "eth0"), *parts)  # noqa: E731
    whole_enough = cut >= 48
    assert stage.arrives(stage.one.space, base, attack, b"x" * 200) == (who == "a peer" and whole_enough)


UDP = {"Network": "10.42.0.0/16", "Backend": {"Type": "udp"}}


@pytest.mark.parametrize("guarded", BOTH)
def test_a_container_does_not_reach_the_udp_backend(act: Act, guarded: bool) -> None:
    stage = act(config=UDP, guarded=guarded, far=False)
    data = packets.datagram(str(stage.one.subnet[9]), stage.two.base, PORT, b"in")
    attack = lambda: packets.send(stage.container, "192.0.2.2", 8285, data)  # noqa: E731
    assert stage.arrives(stage.two.space, stage.two.base, attack) == (not guarded)


def test_the_rules_are_there_again_after_a_flush(act: Act) -> None:
    stage = act("--iptables-resync", "1")
    stage.one.space.run("nft", "flush", "ruleset")
    waiting.until(lambda: "tulle-guard-1" in stage.one.space.run("nft", "list", "tables"), "guard again", within=15)
    attack = lambda: packets.send(stage.container, "192.0.2.2", 8472, stage.forged(stage.two, "10.42.99.9"))  # noqa: E731
    assert not stage.arrives(stage.two.space, stage.two.base, attack)
    stage.two.ping(stage.one)


def test_what_was_dropped_is_counted_with_its_sender(act: Act) -> None:
    stage = act("--healthz-port", "8471")
    stage.container.run("ping", "-c1", "-W2", stage.one.gateway)  # who has to ask for its gateway first sends later
    packets.send(stage.container, "192.0.2.2", 8472, stage.forged(stage.two, "10.42.99.9"))
    packets.send(stage.stranger, "192.0.2.1", 8472, stage.forged(stage.one, "10.42.99.9"))
    packets.send(stage.two.space, "192.0.2.1", 8472, stage.forged(stage.one, "10.42.99.9"))
    packets.send(stage.two.space, "192.0.2.1", 8472, stage.forged(stage.one, str(stage.two.subnet[9]), "203.0.113.9"))
    stage.two.ping(stage.one)
    with netns.inside(stage.one.space.namespace):
        found = drop_counters.read("tulle-guard-1")
    assert found is not None
    assert found.packets == {"inside": 1, "stranger": 1, "forged": 1, "astray": 1}
    assert set(found.senders) == {_address(stage, 5), "192.0.2.3", "192.0.2.2"}
    assert stage.one.metrics()['tulle_tunnel_guard_dropped_packets_total{,reason="stranger"}'] == 1
