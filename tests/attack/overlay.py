"""Has containers, strangers and a peer send into an overlay network of built programs what they may not, and looks for what arrives.

Three hosts with tulled and two containers each, shipped conflist, both families: a datagram that claims a sender, wrapped as the backend
does, whole, hidden behind another one or in fragments, to each host's tunnel, with each `rp_filter`; frames on the bridge under another's
MAC, IPv4, ARP or IPv6 address, router advertisements, redirects and DHCP answers; ARP through the tunnel; interfaces that are swapped
before DEL; the health port. Honest datagrams in between have to arrive, or nothing that was held says anything.
Must not know the rules that hold. Blind spot: `wireguard`, `ipip`, `ipsec`, whose tunnels are the kernel's.
"""

import itertools
import json
import random
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Interface
from typing import Any

from bridge import spoofchk_ports
from tests.attack.figures import Budget, Figures
from tests.attack.seats import door, seat
from tests.lab.daemon import HEALTH_PORT
from tests.lab.hosts import CONFLIST, Host, Lab
from tests.lab.underlay import OUTSIDE
from tests.netns.bridge import frames
from tests.netns.bridge.frames import ARP, FRAGMENT, ICMP6, IP, IP6, OPTIONS, UDP, VLAN, ether
from tests.netns.overlay import packets
from tests.netns.spaces import Space

PORT = 4242
PATIENCE = 0.1
"""Seconds until a datagram counts as dropped; those that arrive take less than one millisecond."""
TIMES = 2
HONEST_EVERY = 20
FOREIGN = "02:00:00:00:00:66"
CUTS = (8, 16, 48, 104)
FILTERS = (0, 1, 2)
NETWORKS: dict[str, dict[str, Any]] = {
    "vxlan": {"EnableIPv6": True, "IPv6Network": "fd00:42::/48", "Backend": {"Type": "vxlan"}},
    "udp": {"Backend": {"Type": "udp"}},
}
TUNNELS = {"vxlan": 8472, "udp": 8285}


@dataclass(frozen=True, slots=True)
class Case:
    """An attack: what it is, and a way to carry it out that tells whether it got through."""

    words: str
    gets_through: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Seat:
    """A pretend host as an attack sees it: its network and its containers', and the addresses on both sides of the tunnel."""

    host: Host
    space: Space
    containers: Sequence[Space]

    def underlay(self, version: int) -> str:
        """Return its address on the wire."""
        standing = self.host.standing
        return str(standing.address.ip if version == 4 or standing.address6 is None else standing.address6.ip)

    def inside(self, number: int, version: int = 4) -> str:
        """Return an address of the first container (0), the second (1)."""
        addresses = [*self.host.containers.values()][number].addresses
        return next(one for one in addresses if (":" in one) == (version == 6))

    @property
    def gateway(self) -> str:
        """Return the address of its bridge."""
        return self.host.lease()["FLANNEL_SUBNET"].partition("/")[0]

    @property
    def base(self) -> str:
        """Return the address of its tunnel's device."""
        return str(IPv4Interface(self.host.lease()["FLANNEL_SUBNET"]).network[0])


def mac(space: Space, name: str = "eth0") -> str:
    """Return the MAC of a link that must exist."""
    link = space.network.link(name)
    assert link is not None
    return link.mac


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the attacks take place: hosts a, b and c of one network with their containers, and who is outside."""

    backend: str
    a: Seat
    b: Seat
    c: Seat
    outside: Space

    def wrapped(self, target: Seat, inner: bytes, version: int) -> bytes:
        """Write what a datagram to the tunnel has to carry for `inner` to come out of it."""
        if self.backend == "udp":
            return inner
        device = "flannel-v6.1" if version == 6 else "flannel.1"
        return packets.vxlan(packets.ethernet(mac(target.space, device), inner))


def arrives(place: Space, address: str, attack: Callable[[], None], data: bytes, port: int = PORT) -> bool:
    """Tell whether a datagram comes to a port of an address while an attack is carried out a few times."""
    with door(place, socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind((address, port))
        ear.settimeout(PATIENCE)
        for _ in range(TIMES):
            with suppress(OSError):  # an attacker may well be told that he must not
                attack()
            with suppress(TimeoutError):
                return ear.recv(8192) == data
    return False


def tunnel_cases(stage: Stage) -> Iterator[Case]:
    """Yield what is sent to a tunnel: by whom, to whom, how, as whom inside, and for whom."""
    versions = (4, 6) if stage.backend == "vxlan" else (4,)
    for version, (who, to), filtered in itertools.product(versions, WAYS, FILTERS):
        target = stage.a if to in {"own host", "gateway", "peer's"} else stage.b
        for (source, sender), (aim, (place, address)) in itertools.product(
            sources(stage, target, version, who).items(), aims(stage, target, version).items()
        ):
            for form in forms(who, to, version):
                words = f"{stage.backend} IPv{version}: {who} to {to}, {form}, inside from {source} to {aim}, rp_filter {filtered}"
                inner = packets.datagram(sender, address, PORT, words.encode())
                data = stage.wrapped(target, inner, version)
                shot = partial(shoot, stage, who, to, form, version, data)
                yield Case(words, partial(_filtered, stage, filtered, place, address, shot, words.encode()))


WAYS = (
    *(("container", to) for to in ("another host", "own host", "gateway")),
    *(("container as a peer", to) for to in ("another host", "own host", "gateway")),
    ("stranger", "another host"),
    ("peer", "peer's"),
)
"""Who sends, and to whose tunnel."""


def sources(stage: Stage, target: Seat, version: int, who: str) -> dict[str, str]:
    """Return the senders that a packet inside may claim; a peer's own are not among them."""
    six = version == 6
    named = {
        "nobody": "fd00:42:0:ff::9" if six else "10.42.250.9",
        "a container of the target": target.inside(1, version),
        "a third host's container": stage.b.inside(0, version) if who == "peer" else stage.c.inside(0, version),
        "the outside": "2001:db8::9" if six else "198.51.100.9",
        "the target's own address": target.underlay(version),
    }
    return named if six else {**named, "the target's gateway": target.gateway}


def aims(stage: Stage, target: Seat, version: int) -> dict[str, tuple[Space, str]]:
    """Return what a packet inside may be for: where it would arrive."""
    named = {
        "a container": (target.containers[0], target.inside(0, version)),
        "the host's own address": (target.space, target.underlay(version)),
    }
    if version == 6:
        return named
    return {
        **named,
        "its gateway": (target.space, target.gateway),
        "its tunnel's address": (target.space, target.base),
        "its loopback": (target.space, "127.0.0.1"),
        "the outside": (stage.outside, str(OUTSIDE.ip)),
    }


def forms(who: str, to: str, version: int) -> Sequence[str]:
    """Return how a datagram may be sent: whole, hidden behind a harmless one, or cut after so many bytes."""
    if who == "container":
        return ("whole", "hidden", *(f"cut {cut}" for cut in CUTS))
    return ("whole", *(f"cut {cut}" for cut in CUTS)) if (who, version) != ("stranger", 6) else ()


def shoot(stage: Stage, who: str, to: str, form: str, version: int, data: bytes) -> None:
    """Send to a tunnel once."""
    port = TUNNELS[stage.backend]
    target = stage.b.underlay(version) if to == "another host" else stage.a.underlay(version)
    if to == "gateway":
        target = stage.a.gateway if version == 4 else stage.a.host.lease()["FLANNEL_IPV6_SUBNET"].partition("/")[0]
    sender = {"stranger": stage.outside, "peer": stage.c.space}.get(who, stage.a.containers[0])
    if form == "whole" and who != "container as a peer":
        packets.send(sender, target, port, data)
    elif form == "hidden":
        packets.send(sender, target, port, b"\x08" * len(data) + data, segment=len(data))
    else:
        source = {
            "stranger": str(OUTSIDE.ip),
            "peer": stage.c.underlay(version),
            "container": stage.a.inside(0, version),
        }.get(who, (stage.b if to != "another host" else stage.c).underlay(version))
        body = packets.udp(source, target, port, data)
        cut = int(form.partition(" ")[2] or len(body))
        parts = (
            packets.fragments(source, target, body, cut) if cut < len(body) else [packets.ip(source, target, UDP, body)]
        )
        packets.send_raw(sender, "eth0", _first_hop(stage, who), *parts)


def _first_hop(stage: Stage, who: str) -> str:
    if who == "peer":
        return mac(stage.a.space)
    return _router(stage.outside) if who == "stranger" else mac(stage.a.space, "tulle0")


def _router(space: Space) -> str:
    gateway = space.run("ip", "-4", "route", "show", "192.168.0.0/16").split()[2]
    with door(space, socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(b"", (gateway, 9))
    (entry,) = json.loads(space.run("ip", "-json", "neigh", "show", gateway))
    return str(entry.get("lladdr", frames.BROADCAST))


def _filtered(stage: Stage, value: int, place: Space, address: str, attack: Callable[[], None], data: bytes) -> bool:
    keys = [f"net/ipv4/conf/{name}/rp_filter={value}" for name in ("all", "eth0", "tulle0", "flannel[.0-9]*")]
    for seat_ in (stage.a, stage.b):
        seat_.space.run("sysctl", "-qw", *keys[:3])
    return arrives(place, address, attack, data)


def bridge_cases(stage: Stage) -> Iterator[Case]:
    """Yield frames to a neighbour on the bridge that no container may send."""
    sender, neighbour = stage.a.containers[:2]
    own, (four, six) = mac(sender), (stage.a.inside(0), stage.a.inside(0, 6))
    macs = {"its own MAC": own, "a foreign MAC": FOREIGN, "the neighbour's MAC": mac(neighbour)}
    fours = {"its own": four, "the neighbour's": stage.a.inside(1), "the gateway's": stage.a.gateway}
    fours |= {"the outside's": "198.51.100.9", "nobody's": "0.0.0.0"}
    local = str(spoofchk_ports.link_local(own))
    sixes = {"its own": six, "its link-local": local, "the neighbour's": stage.a.inside(1, 6), "another's": "fe80::1"}
    for (mac_words, source), (words, wrap) in itertools.product(macs.items(), WRAPS.items()):
        honest = source == own
        for address_words, address in fours.items():
            for kind, (ethertype, body) in bodies4(source, address, stage.a.inside(1)).items():
                if not (honest and address_words == "its own" and kind not in FORBIDDEN):
                    frame = wrap(source, ethertype, body, frames.BROADCAST)
                    yield _frame_case(stage, f"{kind} from {mac_words}, {address_words} address, {words}", frame)
        for address_words, address in sixes.items():
            for kind, (following, rest) in bodies6(source, address, stage.a.inside(1, 6)).items():
                if not (honest and address_words.startswith("its ") and kind not in FORBIDDEN):
                    for hiding, (first, whole) in hidden(following, rest).items():
                        frame = wrap(
                            source, IP6, frames.ip6(address, frames.ALL_NODES, first, whole), frames.ALL_NODES_MAC
                        )
                        told = f"{kind} {hiding} from {mac_words}, {address_words} address, {words}"
                        yield _frame_case(stage, told, frame)


FORBIDDEN = frozenset(
    {"DHCP answer", "router advertisement", "redirect", "DHCPv6 answer", "advertisement of the neighbour"}
)
"""What a container may not even say as itself."""

WRAPS: dict[str, Callable[[str, int, bytes, str], bytes]] = {
    "plain": ether,
    "tagged": lambda source, kind, body, to: ether(source, VLAN, frames.tagged(kind, body), to),
}


def bodies4(source: str, address: str, neighbour: str) -> dict[str, tuple[int, bytes]]:
    """Return what may be said over IPv4 and ARP under an address."""
    return {
        "UDP": (IP, frames.ip(address, "255.255.255.255", UDP, frames.udp(1, 2))),
        "DHCP answer": (IP, frames.ip(address, "255.255.255.255", UDP, frames.udp(67, 68))),
        "later fragment": (IP, frames.ip(address, "255.255.255.255", UDP, bytes(16), 0x2001)),
        "ARP request": (ARP, frames.arp(source, address, neighbour)),
        "ARP answer": (ARP, frames.arp(source, address, neighbour, 2)),
    }


def bodies6(source: str, address: str, neighbour: str) -> dict[str, tuple[int, bytes]]:
    """Return what may be said over IPv6 under an address: the following header, and its content."""
    nodes = frames.ALL_NODES
    return {
        "UDP": (UDP, frames.udp(1, 2)),
        "DHCPv6 answer": (UDP, frames.udp(547, 546)),
        "router advertisement": (ICMP6, frames.router_advertisement(address)),
        "redirect": (ICMP6, frames.icmp6(address, nodes, 137, bytes(36))),
        "advertisement of the neighbour": (ICMP6, frames.neighbour(136, address, neighbour, source)),
    }


def hidden(following: int, rest: bytes) -> dict[str, tuple[int, bytes]]:
    """Return how IPv6 may carry a content: as it is, behind options, in a fragment that is all of it, in a first fragment."""
    return {
        "as it is": (following, rest),
        "behind options": (OPTIONS, frames.options(following) + rest),
        "in an only fragment": (FRAGMENT, frames.fragment(following, 0, rest, 0)),
        "in a first fragment": (FRAGMENT, frames.fragment(OPTIONS, 0, frames.options(following) + rest[:8])),
    }


def _frame_case(stage: Stage, words: str, frame: bytes) -> Case:
    sender, neighbour = stage.a.containers[:2]
    end = ether(mac(sender), ARP, frames.arp(mac(sender), stage.a.inside(0), stage.a.gateway))
    return Case(f"bridge: {words}", lambda: frames.passes(sender, neighbour, frame, end))


def neighbour_cases(stage: Stage) -> Iterator[Case]:
    """Yield ARP that a peer sends through the tunnel: nobody is answered, nobody is learned."""
    if stage.backend != "vxlan":
        return
    for operation, about in itertools.product((1, 2), (stage.c.inside(0), stage.b.base, stage.a.base, "10.42.250.9")):

        def taught(operation: int = operation, about: str = about) -> bool:
            asked = packets.arp(operation, FOREIGN, about, stage.a.base)
            for to in (mac(stage.a.space, "flannel.1"), frames.BROADCAST):
                data = packets.vxlan(packets.ethernet(to, asked, packets.ARP))
                packets.send(stage.c.space, stage.a.underlay(4), TUNNELS["vxlan"], data)
            stage.c.containers[0].run("ping", "-c1", "-W2", stage.a.inside(0))  # comes after them
            said = stage.a.space.run("ip", "neigh", "show", "nud", "all")
            return FOREIGN in said

        yield Case(f"tunnel: ARP {operation} about {about}", taught)


SWAPS = {
    "renamed": ("link set eth0 name mine",),
    "replaced by a bridge": ("link set eth0 name mine", "link add eth0 type bridge"),
    "replaced by a cable of its name": ("link set eth0 name mine", "link add eth0 type veth peer name decoy"),
    "moved away": ("netns add nested", "link set eth0 netns nested"),
    "without its addresses": ("address flush dev eth0", "link set eth0 address 02:00:00:00:00:77"),
}


def swap_cases(stage: Stage) -> Iterator[Case]:
    """Yield containers that make something else of their interface before they are deleted."""

    def ports_of(host: Host) -> list[str]:
        return sorted(link["ifname"] for link in host.show("link", "show", "master", "tulle0"))

    for number, (words, lines) in enumerate(SWAPS.items()):

        def stands(number: int = number, lines: Sequence[str] = lines) -> bool:
            host = stage.a.host
            before = ports_of(host)
            added = host.add(f"swap{number}")
            for line in lines:
                added.place.run("ip", *line.split())
            host.remove(added.name)
            host.place.attempt("ip", "netns", "delete", "nested")
            return ports_of(host) != before

        yield Case(f"DEL of an interface that is {words}", stands)


def health_cases(stage: Stage) -> Iterator[Case]:
    """Yield attempts to reach the health port from elsewhere."""
    places = {"a container": stage.a.containers[0], "another host": stage.b.space, "outside": stage.outside}
    for who, place in places.items():
        for address in (stage.a.underlay(4), stage.a.gateway, stage.a.base):
            yield Case(f"health on {address} from {who}", partial(_answers, place, address, HEALTH_PORT))


def _answers(place: Space, address: str, port: int) -> bool:
    with door(place, socket.AF_INET, socket.SOCK_STREAM) as caller:
        caller.settimeout(PATIENCE)
        return caller.connect_ex((address, port)) == 0


def honest(stage: Stage) -> str:
    """Return what of the containers' own traffic does not arrive; empty when all does."""
    failed = []
    for version in (4, 6) if stage.backend == "vxlan" else (4,):
        target = stage.b.inside(0, version)
        packet = partial(packets.send, stage.a.containers[0], target, PORT, b"honest")
        if not any(arrives(stage.b.containers[0], target, packet, b"honest") for _ in range(20)):
            failed.append(target)
    return ", ".join(failed)


@contextmanager
def staged(backend: str, *, guarded: bool = True) -> Iterator[Stage]:
    """Make three hosts of one network with two containers each; with nothing that keeps them in unless `guarded`."""
    dual = backend == "vxlan"
    with Lab({"host-a": 1, "host-b": 2, "host-c": 1}, dual=dual) as lab, ExitStack() as opened:
        config = lab.workdir / "network.json"
        config.write_text(json.dumps({"Network": "10.42.0.0/16", **NETWORKS[backend]}))
        flags = ("--network", "", "--net-config", str(config), "--ip-masq", f"--tunnel-guard={str(guarded).lower()}")
        shipped = json.loads(CONFLIST.read_text())
        if not guarded:
            shipped["plugins"][0]["spoofchk"] = False
        for host in lab.hosts.values():
            host.start_daemon(*flags).wait_ready()

        def space(place: Any) -> Space:
            made = seat(place)
            opened.callback(made.close)
            return made

        seats = []
        for host in lab.hosts.values():
            containers = [
                space(host.add(f"{host.name[-1]}{number}", host.conflist(shipped)).place) for number in (1, 2)
            ]
            seats.append(Seat(host, space(host.place), containers))
        a, b, c = seats
        stage = Stage(backend, a, b, c, space(lab.outside))
        assert not honest(stage), honest(stage)
        yield stage


def drawn(stage: Stage, seed: int) -> list[Case]:
    """Return every case in an order drawn from the seed, some of each kind among the first."""
    kinds = [
        tunnel_cases,
        neighbour_cases,
        swap_cases,
        health_cases,
        *([bridge_cases] if stage.backend == "vxlan" else []),
    ]
    decks = [list(kind(stage)) for kind in kinds]
    for deck in decks:
        random.Random(seed).shuffle(deck)
    return [case for row in itertools.zip_longest(*decks) for case in row if case is not None]


def campaign(budget: Budget) -> Figures:
    """Try attacks on a network of each backend."""
    figures = Figures()
    for backend in NETWORKS:
        with staged(backend) as stage:
            part = Budget(budget.seconds / len(NETWORKS), budget.seed, budget.cases // len(NETWORKS))
            for number, case in enumerate(part.until_spent(drawn(stage, budget.seed))):
                figures.tried += 1
                if case.gets_through():
                    figures.broken.append(case.words)
                if number % HONEST_EVERY == 0 and (lost := honest(stage)):
                    figures.broken.append(f"after {case.words}: {lost} is not reached")
    return figures
