"""Tests the paths to other hosts, one per family: which addresses are asked, and which answered.

A host that answers outside the tunnel but not inside is asked in two halves: a packet through the tunnel whose answer
comes outside it, and the reverse. An answer proves that one direction works, so the other one does not. No answer
proves nothing, because hosts and routers may drop a source address that they do not expect.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from cli.inspect import ping
from cli.inspect.network_state import NetworkState
from cli.inspect.ping import EchoRequest
from overlay.backends import Desired
from overlay.firewall.rules import MARK
from overlay.subnet.lease import Lease
from system.ip import IPAddress, IPNetwork


@dataclass(frozen=True, slots=True)
class PeerPath:
    """The path to another host in one family."""

    lease: Lease
    subnet: IPNetwork  # of the other host
    public: IPAddress  # its address outside the tunnel
    target: IPAddress  # its address inside the tunnel

    @property
    def name(self) -> str:
        """The name for people."""
        return f"{self.subnet} at {self.public}"


@dataclass(frozen=True, slots=True)
class Answers:
    """Which paths work."""

    ways: tuple[PeerPath, ...] = ()  # all that were asked
    tunnel: frozenset[PeerPath] = frozenset()  # an echo came back through the tunnel
    beside: frozenset[PeerPath] = frozenset()  # an echo came back outside the tunnel
    wide: frozenset[PeerPath] = frozenset()  # an echo as large as containers may send came back
    tcp: frozenset[PeerPath] = frozenset()  # TCP answered through the tunnel
    refused: frozenset[PeerPath] = frozenset()
    """Paths whose host says that nobody listens on the tunnel's UDP port."""
    halved: frozenset[PeerPath] = frozenset()  # asked in halves
    there: frozenset[PeerPath] = frozenset()  # only the direction to the host is proved
    back: frozenset[PeerPath] = frozenset()  # only the direction from the host is proved
    problem: str = ""  # why nothing could be asked, or empty


def to(found: NetworkState, peer: Lease) -> tuple[PeerPath, ...]:
    """Return the paths to a peer, IPv4 first; IPv6 only if both hosts have it."""
    return tuple(_ways(found, peer))


def _ways(found: NetworkState, peer: Lease) -> Iterator[PeerPath]:
    both = found.own is not None and found.own.subnet.ipv6 is not None
    publics = {4: peer.attributes.public_ip, 6: peer.attributes.public_ipv6 if both else None}
    for subnet in peer.subnet.networks:
        public = publics[subnet.version]
        if public is not None:
            yield PeerPath(peer, subnet, public, subnet.network_address if found.devices else public)


def left_out(found: NetworkState, peer: Lease) -> str:
    """Return why there is no path to a peer; empty if there is one."""
    reasons = found.plan.desired.unusable if found.plan else (found.plan_problem,)
    start = f"{peer.subnet}: "
    return next((reason.removeprefix(start) for reason in reasons if reason.startswith(start) or not found.plan), "")


def port(found: NetworkState) -> int:
    """Return the UDP port of the tunnel, 0 without one."""
    wanted = found.plan.desired if found.plan else Desired()
    return wanted.guard.ports[0] if wanted.guard else 0


def ask(found: NetworkState) -> Answers:
    """Ask all other hosts at once.

    Who does not answer a small echo through the tunnel is asked nothing else inside it.
    """
    if found.lease is None or found.plan is None:
        return Answers(problem=found.lease_problem or found.plan_problem)
    ways = tuple(way for peer in found.peers if not left_out(found, peer) for way in to(found, peer))
    try:
        heard = {
            each.address for each in ping.echo([EchoRequest(end) for way in ways for end in (way.target, way.public)])
        }
        inside = frozenset(way for way in ways if way.target in heard)
        large = {each.address for each in ping.echo([EchoRequest(way.target, found.lease.mtu) for way in inside])}
    except OSError as problem:
        return Answers(problem=f"other hosts cannot be asked: {problem.strerror}; run this as root")
    beside = frozenset(way for way in ways if way.public in heard)
    tcp = ping.tcp({way.target for way in inside})
    silent = frozenset(ways) - inside
    refused = ping.refusing({way.public for way in silent}, port(found)) if port(found) else frozenset()
    without = frozenset(way for way in silent if way.public in refused)
    halved = (silent & beside) - without if port(found) else frozenset()
    return Answers(
        ways,
        inside,
        beside,
        frozenset(way for way in inside if way.target in large),
        frozenset(way for way in inside if way.target in tcp),
        without,
        halved,
        *_halves(found, halved),
    )


def _halves(found: NetworkState, silent: frozenset[PeerPath]) -> tuple[frozenset[PeerPath], frozenset[PeerPath]]:
    """Ask in halves. Return the paths that carry packets there, and those that carry them back."""
    forth = {there(found, way): way for way in silent}
    home = {back(found, way): way for way in silent}
    heard = ping.echo([*forth, *home])
    return frozenset(forth[one] for one in heard if one in forth), frozenset(home[one] for one in heard if one in home)


def there(found: NetworkState, way: PeerPath) -> EchoRequest:
    """Return the echo through the tunnel from this host's own address, so that the answer comes outside it.

    The mark makes our masquerade keep the source address (docs/reference/flannel.md 6.1); other programs' rules may
    change it.
    """
    here = found.plan.underlay if found.plan else None
    source = (here.local or here.public_ip if way.subnet.version == 4 else here.public_ipv6) if here else None
    return EchoRequest(way.target, source=source, device=_device(found, way.subnet.version), mark=MARK)


def back(found: NetworkState, way: PeerPath) -> EchoRequest:
    """Return the echo outside the tunnel from this host's address inside it, so that the answer comes through it."""
    own = found.own.subnet.networks if found.own else ()
    source = next((one.network_address for one in own if one.version == way.subnet.version), None)
    return EchoRequest(way.public, source=source, mark=MARK)


def _device(found: NetworkState, version: int) -> str:
    """Return the name of the tunnel's device of a family."""
    wanted = found.plan.desired if found.plan else Desired()
    named = [(one.address.version, one.device.name) for one in wanted.tunnels]
    named += [(address.version, one.name) for one in wanted.pipes for address in one.addresses]
    return next((name for known, name in named if known == version), "")
