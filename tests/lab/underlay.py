"""The network the pretend hosts stand in: segments joined by a router, and an outside that knows no overlay.

Pure: it says which `ip` lines each place needs, tests.lab.hosts types them. Two hosts on one segment share a wire; two segments reach each other
through the router only, which has no route to any container. Outside knows the way back to the hosts, not to containers, so a
container reaches it only behind its host's address.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface

OUTSIDE = IPv4Interface("203.0.113.10/24")
OUTSIDE_GATEWAY = IPv4Interface("203.0.113.1/24")
MTU = 1500


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one host stands: its segment's number and its addresses on it; the router is .1 and, with IPv6, ::1 there."""

    host: str
    segment: int
    address: IPv4Interface
    address6: IPv6Interface | None


def standings(segments: Mapping[str, int], *, dual: bool = False) -> tuple[Standing, ...]:
    """Return the standing of each host, numbered from .11 on every segment in the order given; `dual` gives IPv6, too."""
    seats: dict[int, int] = {}
    placed = []
    for host, segment in segments.items():
        seat = seats[segment] = seats.get(segment, 10) + 1
        v6 = IPv6Interface(f"fd00:192:168:{segment}::{seat}/64") if dual else None
        placed.append(Standing(host, segment, IPv4Interface(f"192.168.{segment}.{seat}/24"), v6))
    return tuple(placed)


def wires(placed: tuple[Standing, ...]) -> tuple[str, ...]:
    """Return the lines that lay every cable, typed in the world: a bridge a segment, a veth a host, a cable outside."""
    lines = []
    for segment in sorted({standing.segment for standing in placed}):
        lines += [
            f"link add segment{segment} type bridge",
            f"link set segment{segment} up",
            f"link add router{segment} type veth peer name segment{segment} netns router",
            f"link set router{segment} master segment{segment} up",
        ]
    for standing in placed:
        lines += [
            f"link add {standing.host} type veth peer name eth0 netns {standing.host}",
            f"link set {standing.host} master segment{standing.segment} up",
        ]
    return (*lines, "link add outside netns router type veth peer name eth0 netns outside")


def router(placed: tuple[Standing, ...]) -> tuple[str, ...]:
    """Return the router's lines: the first address of every segment, and its leg to the outside."""
    lines: list[str] = []
    for segment, dual in sorted({(standing.segment, standing.address6 is not None) for standing in placed}):
        v6 = (f"fd00:192:168:{segment}::1/64",) if dual else ()
        lines += _addresses(f"segment{segment}", f"192.168.{segment}.1/24", *v6)
    return (*lines, *_addresses("outside", str(OUTSIDE_GATEWAY)))


def outside() -> tuple[str, ...]:
    """Return the lines of the place outside: it reaches the hosts' segments through the router, and nothing else."""
    return (*_addresses("eth0", str(OUTSIDE)), f"route add 192.168.0.0/16 via {OUTSIDE_GATEWAY.ip}")


def host(standing: Standing) -> tuple[str, ...]:
    """Return one host's lines: its addresses and the router as its default route."""
    segment = standing.segment
    v4 = (*_addresses("eth0", str(standing.address)), f"route add default via 192.168.{segment}.1")
    if standing.address6 is None:
        return v4
    return (*v4, *_addresses("eth0", str(standing.address6)), f"route add ::/0 via fd00:192:168:{segment}::1")


def _addresses(link: str, *interfaces: str) -> tuple[str, ...]:
    """No duplicate address detection: the lab owns every address, and a tentative one would answer late."""
    assigned = (f"address add {interface} dev {link}{' nodad' if ':' in interface else ''}" for interface in interfaces)
    return (*assigned, f"link set {link} mtu {MTU} up")
