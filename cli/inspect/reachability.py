"""The ways to other hosts, one a family: which addresses are asked to learn whether packets arrive, and what came of asking them.

A host that answers beside the tunnel but not through it is asked in two halves: a packet through the tunnel whose answer comes beside it,
and the other way round. What came back proves one direction, and by that condemns the other. Must not judge.
Blind spot: a half that nobody answers proves nothing, for hosts and routers may drop a source address where they do not expect it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from cli.inspect import ping
from cli.inspect.network_state import NetworkState
from cli.inspect.ping import EchoRequest
from overlay.backends import Desired, IPAddress, IPNetwork
from overlay.firewall.rules import MARK
from overlay.subnet.lease import Lease


@dataclass(frozen=True, slots=True)
class PeerPath:
    """The way to another host in one family: its subnet, its own address, and the one only the backend's way leads to."""

    lease: Lease
    subnet: IPNetwork
    public: IPAddress
    target: IPAddress

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.subnet} at {self.public}"


@dataclass(frozen=True, slots=True)
class Answers:
    """Which ways carry an echo: through the tunnel, beside it, as large as a packet may be; and TCP.

    `there` and `back` are ways silent in the tunnel of which that direction alone was proved; `halved` those of which it was tried.
    """

    ways: tuple[PeerPath, ...] = ()
    tunnel: frozenset[PeerPath] = frozenset()
    beside: frozenset[PeerPath] = frozenset()
    wide: frozenset[PeerPath] = frozenset()
    tcp: frozenset[PeerPath] = frozenset()
    refused: frozenset[PeerPath] = frozenset()
    """Ways whose host says that nobody listens on the tunnel's UDP port."""
    halved: frozenset[PeerPath] = frozenset()
    there: frozenset[PeerPath] = frozenset()
    back: frozenset[PeerPath] = frozenset()
    problem: str = ""


def to(found: NetworkState, peer: Lease) -> tuple[PeerPath, ...]:
    """Give the ways to a peer, IPv4's first; IPv6's only where both hosts have it."""
    return tuple(_ways(found, peer))


def _ways(found: NetworkState, peer: Lease) -> Iterator[PeerPath]:
    both = found.own is not None and found.own.subnet.ipv6 is not None
    publics = {4: peer.attributes.public_ip, 6: peer.attributes.public_ipv6 if both else None}
    for subnet in peer.subnet.networks:
        public = publics[subnet.version]
        if public is not None:
            yield PeerPath(peer, subnet, public, subnet.network_address if found.devices else public)


def left_out(found: NetworkState, peer: Lease) -> str:
    """Return why a peer has no way from here, empty when it has one."""
    reasons = found.plan.desired.unusable if found.plan else (found.plan_problem,)
    start = f"{peer.subnet}: "
    return next((reason.removeprefix(start) for reason in reasons if reason.startswith(start) or not found.plan), "")


def port(found: NetworkState) -> int:
    """Return the UDP port of the tunnel, 0 where there is none."""
    wanted = found.plan.desired if found.plan else Desired()
    return wanted.guard.ports[0] if wanted.guard else 0


def ask(found: NetworkState) -> Answers:
    """Ask all other hosts at once; who does not answer a small echo through the tunnel is asked about that alone."""
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
    """Ask in halves; return the ways that carry packets there, and those that carry them back."""
    forth = {there(found, way): way for way in silent}
    home = {back(found, way): way for way in silent}
    heard = ping.echo([*forth, *home])
    return frozenset(forth[one] for one in heard if one in forth), frozenset(home[one] for one in heard if one in home)


def there(found: NetworkState, way: PeerPath) -> EchoRequest:
    """Ask through the tunnel from this host's own address, to which the answer comes beside it.

    The mark has our masquerade leave the source address alone (docs/reference/flannel.md 6.1); other programs' does not know it.
    """
    here = found.plan.underlay if found.plan else None
    source = (here.local or here.public_ip if way.subnet.version == 4 else here.public_ipv6) if here else None
    return EchoRequest(way.target, source=source, device=_device(found, way.subnet.version), mark=MARK)


def back(found: NetworkState, way: PeerPath) -> EchoRequest:
    """Ask beside the tunnel from this host's address in it, to which the answer comes through it."""
    own = found.own.subnet.networks if found.own else ()
    source = next((one.network_address for one in own if one.version == way.subnet.version), None)
    return EchoRequest(way.public, source=source, mark=MARK)


def _device(found: NetworkState, version: int) -> str:
    """Name the tunnel's device of a family."""
    wanted = found.plan.desired if found.plan else Desired()
    named = [(one.address.version, one.device.name) for one in wanted.tunnels]
    named += [(address.version, one.name) for one in wanted.pipes for address in one.addresses]
    return next((name for known, name in named if known == version), "")
