"""`tulle status`: one network as this host sees it, as a table with a map of hosts, as JSON, or as commands.

It shows; `tulle doctor` judges. An echo comes from a peer's host, not from its containers.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cli.checks import lease as agreed
from cli.inspect import daemon_settings, ip_commands, network_state, ping, reachability
from cli.inspect.network_state import NetworkState
from cli.inspect.ping import EchoRequest
from kernel.errors import KernelError
from overlay.errors import Refused
from overlay.firewall.drop_counters import Drops

_SENDERS = 3
"""How many of the last senders are shown."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another host."""

    subnet: str  # of its lease
    public_ip: str  # where packets to it are sent
    problem: str  # why the kernel has no path to it, or empty
    seconds: float | None  # time of its echo; None: no answer
    dual: bool = False  # it is asked over IPv6 as well
    seconds6: float | None = None  # time of its echo over IPv6; None: no answer

    @property
    def answers(self) -> bool:
        """Return whether it answers in every family in which it is asked. One without a path counts as silent."""
        return not self.problem and self.seconds is not None and (self.seconds6 is not None or not self.dual)

    @property
    def health(self) -> str:
        """The state as text."""
        if self.problem:
            return f"left out: {self.problem}"
        if self.dual and (self.seconds is None) != (self.seconds6 is None):
            return f"{_words(self.seconds)} over IPv4, {_words(self.seconds6)} over IPv6"
        return _words(self.seconds)


def _words(seconds: float | None) -> str:
    return "silent" if seconds is None else f"answers in {seconds * 1000:.1f} ms"


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the options to `parser`."""
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print JSON: a list of networks")
    shown.add_argument(
        "--entries", action="store_true", help="print what each lease is in the kernel, as the commands that make it"
    )
    daemon_settings.declare(parser)


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Show every network of the settings. Return 0, or 1 if one of them does not exist here."""
    try:
        found = [network_state.read(each) for each in daemon_settings.read(options, environ)]
        if options.entries:
            print("\n".join(line for each in found for line in commands(each)))
        else:
            told = [(each, heard(each)) for each in found]
            print(
                json.dumps([members(*each) for each in told]) if options.json else "\n\n".join(table(*t) for t in told)
            )
    except (Refused, KernelError) as problem:
        print(f"tulle status: {problem}", file=sys.stderr)
        return 1
    for text in (text for each in found for text in (each.lease_problem, each.store_problem) if text):
        print(f"tulle status: {text}", file=sys.stderr)
    return int(any(each.own is None for each in found))


def heard(found: NetworkState) -> tuple[Peer, ...]:
    """Ask every other host through the tunnel, in all families at once, and return the answers."""
    asked = {
        peer: {
            way.subnet.version: EchoRequest(way.target)
            for way in reachability.to(found, peer)
            if not reachability.left_out(found, peer)
        }
        for peer in found.peers
    }
    try:
        answers = ping.echo([each for ends in asked.values() for each in ends.values()])
    except OSError:
        answers = {}
    return tuple(
        Peer(
            str(peer.subnet),
            str(peer.attributes.public_ip),
            reachability.left_out(found, peer),
            answers.get(ends[4]) if 4 in ends else None,
            dual=6 in ends,
            seconds6=answers.get(ends[6]) if 6 in ends else None,
        )
        for peer, ends in asked.items()
    )


def members(found: NetworkState, peers: tuple[Peer, ...]) -> dict[str, Any]:
    """Return the network as the JSON object that `--json` prints."""
    lease, own = found.lease, found.own
    return {
        "store": found.settings.name,
        "networks": list(map(str, found.config.networks)) if found.config else [],
        "backend": found.config.backend_type if found.config else None,
        "subnets": list(map(str, lease.subnets)) if lease else [],
        "gateways": list(map(str, lease.gateways)) if lease else [],
        "mtu": lease.mtu if lease else None,
        "publicIP": str(own.attributes.public_ip) if own else None,
        "leaseSeconds": own.ttl if own else None,
        "interface": found.plan.underlay.interface if found.plan else None,
        "devices": list(found.devices),
        "peers": [
            {
                "subnet": one.subnet,
                "publicIP": one.public_ip,
                "problem": one.problem,
                "seconds": one.seconds,
                **({"seconds6": one.seconds6} if one.dual else {}),
            }
            for one in peers
        ],
        "book": {"path": found.book.path, "held": _held(found), "size": _size(found)} if found.book else None,
        "agent": {"warm": found.agent.warm, "cold": found.agent.cold} if found.agent else None,
        "guard": {"dropped": dict(found.drops.packets), "lastSenders": list(found.drops.senders)}
        if found.drops
        else None,
        "problems": [text for text in (found.lease_problem, found.store_problem, found.plan_problem) if text],
    }


def table(found: NetworkState, peers: tuple[Peer, ...]) -> str:
    """Return the network for people: what is wrong with all of it, what exists, then a map of hosts and tunnels."""
    told = members(found, peers)
    rows = {
        "network": " ".join(told["networks"]) or "unknown",
        "store": told["store"],
        "backend": told["backend"] or "unknown",
        "subnet of this host": " ".join(told["subnets"]) or "none",
        "lease": _term(found),
        "MTU": told["mtu"] or "unknown",
        "interface": told["interface"] or "unknown",
        "address book": f"{told['book']['held']} of {told['book']['size']} addresses held" if told["book"] else "none",
        "agent": _agent(found),
        **({"dropped at the tunnel": _dropped(found.drops)} if found.drops else {}),
        "peers": f"{len(peers)}, {sum(one.answers for one in peers)} of them answer",
    }
    headline = agreed.headline(found)
    first = [headline, ""] if headline else []
    lines = [*first, *(f"{label:<22}{value}" for label, value in rows.items())]
    return "\n".join([*lines, "", *_map(found, peers)])


def _term(found: NetworkState) -> str:
    if found.own is None:
        return "none"
    return "for good" if found.own.ttl is None else f"for another {found.own.ttl / 3600:.1f} h"


def _agent(found: NetworkState) -> str:
    return f"{found.agent.warm} served warm, {found.agent.cold} cold" if found.agent else "none runs"


def _dropped(drops: Drops) -> str:
    reasons = ", ".join(f"{number} {reason}" for reason, number in drops.packets.items() if number)
    if not reasons:
        return "nothing"
    last = f"; last from {', '.join(drops.senders[:_SENDERS])}" if drops.senders else ""
    return f"{sum(drops.packets.values())} packets ({reasons}){last}"


def _held(found: NetworkState) -> int:
    """Return how many addresses of the lease's first family are in use.

    With two families a container has one of each.
    """
    first = found.lease.subnets[0] if found.lease else None
    return sum(first is not None and one.address in first for one in found.book.held) if found.book else 0


def _size(found: NetworkState) -> int:
    """Return how many addresses of that family there are: all but the subnet's first, its last and the gateway."""
    return max(0, found.lease.subnets[0].num_addresses - 3) if found.lease else 0


def _map(found: NetworkState, peers: tuple[Peer, ...]) -> Iterator[str]:
    """Yield this host and, below it, one line for the tunnel to each other host."""
    if found.own is None:
        return
    yield f"this host  {found.own.attributes.public_ip}  {found.own.subnet}"
    through = " ".join(found.devices) or "plain routes"
    for number, peer in enumerate(peers, start=1):
        corner = "└" if number == len(peers) else "├"
        line = "──" if peer.answers else "╌╌"
        yield f"  {corner}{line} {through} {line}▶ {peer.public_ip}  {peer.subnet}  {peer.health}"


def commands(found: NetworkState) -> Iterator[str]:
    """Yield the commands for every lease, each after a comment with its subnet."""
    for peer in found.peers if found.plan else ():
        reason = reachability.left_out(found, peer)
        yield f"# {peer.subnet} of {peer.attributes.public_ip}" + (f" is left out: {reason}" if reason else "")
        if found.plan is not None:
            yield from ip_commands.commands(found.plan.desired, peer)
