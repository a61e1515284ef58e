"""Measures what a container may do by default on a host with two networks: the rows of the table in docs/security.md.

The same attacks run from any engine's container, which has NET_RAW. Each is known to arrive where nothing keeps it: on some engine it does.
Must not know the engines; tests/e2e/test_isolation.py lays the stages.
"""

import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address

from bridge import spoofchk_ports
from tests.attack.seats import connects, door
from tests.netns.bridge import frames
from tests.netns.bridge.frames import ARP, IP, IP6, ether
from tests.netns.overlay import packets
from tests.netns.spaces import Space

FOREIGN = "02:00:00:00:00:66"
TUNNEL, DISCARD = 8472, 9
PUBLISHED = 8080
SERVED = 80


@dataclass(frozen=True, slots=True)
class Stage:
    """A container and its neighbour on one network, a container on another network of the host, published, and another host."""

    sender: Space
    neighbour: Space
    other: Space
    host: Space
    far: Space

    @property
    def gateway(self) -> str:
        """The address that the containers' default route leads to."""
        (found,) = self.sender.run("ip", "-4", "route", "show", "default").splitlines()
        return found.split()[2]


def address(space: Space) -> str:
    """Return the IPv4 address of a space's eth0."""
    return space.run("ip", "-4", "-o", "address", "show", "eth0").split("inet ")[1].partition("/")[0]


def mac(space: Space) -> str:
    """Return the MAC of a space's eth0."""
    link = space.network.link("eth0")
    assert link is not None
    return link.mac


def _passes(stage: Stage, frame: bytes) -> bool:
    """Tell whether a frame arrives at the neighbour; an honest ARP request follows it."""
    marker = ether(mac(stage.sender), ARP, frames.arp(mac(stage.sender), address(stage.sender), stage.gateway))
    return frames.passes(stage.sender, stage.neighbour, frame, marker)


def _datagram(stage: Stage, hardware: str, source: str, port: int, target: int) -> bytes:
    """Write a frame to the neighbour with a datagram from `source`."""
    near = stage.neighbour
    body = frames.ip(source, address(near), frames.UDP, frames.udp(port, target))
    return ether(hardware, IP, body, mac(near))


def _of_another_mac(stage: Stage) -> bool:
    return _passes(stage, _datagram(stage, FOREIGN, address(stage.sender), 1, 2))


def _of_another_address(stage: Stage) -> bool:
    return _passes(stage, _datagram(stage, mac(stage.sender), str(ip_address(address(stage.sender)) + 7), 1, 2))


def _arp_for_the_gateway(stage: Stage) -> bool:
    own = mac(stage.sender)
    return _passes(stage, ether(own, ARP, frames.arp(own, stage.gateway, address(stage.neighbour), 2)))


def _router_advertisement(stage: Stage) -> bool:
    own = mac(stage.sender)
    source = str(spoofchk_ports.link_local(own))
    body = frames.ip6(source, frames.ALL_NODES, frames.ICMP6, frames.router_advertisement(source))
    return _passes(stage, ether(own, IP6, body, frames.ALL_NODES_MAC))


def _dhcp_answer(stage: Stage) -> bool:
    return _passes(stage, _datagram(stage, mac(stage.sender), address(stage.sender), 67, 68))


def _by_hand(stage: Stage) -> bool:
    """Tell whether a VXLAN datagram, sent as anybody may, comes to another host; a harmless one follows it."""
    target = address(stage.far)
    data = packets.vxlan(packets.ethernet(FOREIGN, packets.datagram("10.42.99.9", "10.42.88.8", 4242, b"in")))
    with door(stage.far, socket.AF_PACKET, socket.SOCK_RAW) as ear:
        ear.bind(("eth0", frames.ETH_ALL))
        ear.settimeout(5)
        packets.send(stage.sender, target, TUNNEL, data)
        packets.send(stage.sender, target, DISCARD, b"harmless")
        seen = False
        while (port := _port(ear.recv(65536))) != DISCARD:
            seen = seen or port == TUNNEL
        return seen


def _port(frame: bytes) -> int:
    """Return the port that an IPv4 datagram goes to; 0 of anything else."""
    datagram = frame[12:14] == b"\x08\x00" and frame[23] == frames.UDP
    return struct.unpack("!H", frame[36:38])[0] if datagram else 0


def _connects(stage: Stage, to: Callable[[Stage], tuple[str, int, Space, int]]) -> bool:
    return connects(stage.sender, *to(stage))


ROWS: Mapping[str, Callable[[Stage], bool]] = {
    "send under another MAC": _of_another_mac,
    "send from another's IPv4 address": _of_another_address,
    "answer ARP for the gateway": _arp_for_the_gateway,
    "send a router advertisement to a neighbour": _router_advertisement,
    "answer DHCP": _dhcp_answer,
    "send to another host's tunnel port, without any capability": _by_hand,
    "connect to a container on another network of the host": partial(
        _connects, to=lambda stage: (address(stage.other), SERVED, stage.other, SERVED)
    ),
    "connect to a port that a container on another network publishes": partial(
        _connects, to=lambda stage: (address(stage.host), PUBLISHED, stage.other, SERVED)
    ),
    "connect to a service of the host": partial(
        _connects, to=lambda stage: (stage.gateway, 9999, stage.host, 9999)
    ),
    "connect to a container on the same network": partial(
        _connects, to=lambda stage: (address(stage.neighbour), SERVED, stage.neighbour, SERVED)
    ),
}  # fmt: skip
"""What a container tries -> whether it gets through."""
