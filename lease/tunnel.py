"""Keeps containers out of the tunnel between hosts: what its packets are, and the nftables rules that drop them.

A tunnel without encryption accepts any packet from a peer's address. A packet from a container to another host's tunnel
port leaves with the address of its own host, which is a peer's. So it must not leave; nor may it reach this host's
port, or come out of the tunnel again. The daemon writes what its tunnel is like into the record beside its lease file.
The programs that attach containers read it and set the rules, also while no daemon runs. The rules of the peers are the
daemon's (overlay.firewall.tunnel_filter).
"""
# pathlib costs milliseconds that every container's start would pay:
# ruff: noqa: PTH123

from __future__ import annotations

import json
import re
from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from system.ip import IPNetwork


FAMILY = "inet"
PREFIX = "tulle-guard"
"""How the names of the tables begin."""
BEFORE_FILTER = -10
"""Priority of the chains: before the filters people write, behind connection tracking."""
KEY = "tunnels"
"""The member of the record."""
VNI = "@th,96,24"
"""Where the VNI stands behind the start of the UDP header: 8 bytes of UDP, 4 of VXLAN flags (RFC 7348)."""
SENDERS = 64
"""How many of the last senders are remembered, in each family, for FORGOTTEN."""
FORGOTTEN = "1h"
LAST = ("last4", "last6")
"""The sets that remember them."""

_IP = {4: "ip", 6: "ip6"}
_LARGEST = 1 << 20
_NAME = re.compile(PREFIX + r"(-[A-Za-z0-9]{1,32})?")
_INEXPRESSIBLE = re.compile(r'["*\\\x00-\x1f]')
"""What nft's quoted strings cannot hold or take for a pattern, and the kernel takes in a link's name."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """What tells the packets between hosts from all others.

    `table` is the name of the guard's table. `ports` are UDP's; with a `vni` only that network's VXLAN packets are
    meant, which share the port with others. `protocols` are numbers of IP protocols that are the tunnel's. Packets of
    other hosts come by `underlay`, a link's name; empty when it is not known.
    """

    table: str
    """The nftables table of its filter."""
    ports: tuple[int, ...] = ()
    """The UDP ports of its packets."""
    vni: int | None = None
    """The VXLAN network identifier; None for another form."""
    protocols: tuple[int, ...] = ()
    """Further IP protocols of its packets."""
    underlay: str = ""
    """The interface its packets arrive by; empty when it is not known."""


def read(lease_file: str) -> tuple[Tunnel, ...] | None:
    """Return the tunnels to guard of the daemon with this lease file; None where no daemon of ours ever said.

    Empty means that there is nothing to guard, or that the guard was switched off. A record that cannot be read or was
    written by somebody else says as little as none.
    """
    try:
        with open(f"{lease_file}.made", encoding="utf-8") as record:
            members = json.loads(record.read(_LARGEST))
        return tuple(decoded(one) for one in members[KEY])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def encoded(tunnel: Tunnel) -> dict[str, Any]:
    """Return the tunnel as it stands in the record."""
    return {
        "table": tunnel.table,
        "ports": list(tunnel.ports),
        "vni": tunnel.vni,
        "protocols": list(tunnel.protocols),
        "underlay": tunnel.underlay,
    }


def decoded(members: Any) -> Tunnel:
    """Return the tunnel an entry of the record means; raises ValueError, KeyError or TypeError for any other entry."""
    table, underlay, vni = members["table"], members["underlay"], members["vni"]
    if not (isinstance(table, str) and _NAME.fullmatch(table) and isinstance(underlay, str)):
        raise ValueError("no table of a tunnel's guard")
    ports = tuple(_number(one, 65535) for one in members["ports"])
    protocols = tuple(_number(one, 255) for one in members["protocols"])
    return Tunnel(table, ports, None if vni is None else _number(vni, (1 << 24) - 1), protocols, underlay)


def _number(value: Any, highest: int) -> int:
    if type(value) is not int or not 0 <= value <= highest:
        raise ValueError(f"expected a number from 0 to {highest}")
    return value


def table(tunnel: Tunnel, networks: Sequence[IPNetwork], links: Sequence[str] = ()) -> str:
    """Return the text for nft that makes a table with these rules alone; it is refused where there is a table of that name.

    `networks` are the containers' addresses, `links` names of links that lead to containers.
    """
    received = hook("input", "input", BEFORE_FILTER, met(tunnel, "received"))
    body = (*shared(tunnel, networks, links), *chain("received", [judged(tunnel)]), *received)
    return f"create table {FAMILY} {tunnel.table}\n" + block(tunnel.table, body)


def block(name: str, lines: Iterable[str]) -> str:
    """Return the text of a table with these lines in it."""
    return f"table {FAMILY} {name} {{\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


def shared(
    tunnel: Tunnel, networks: Sequence[IPNetwork], links: Sequence[str] = (), also: Iterable[str] = ()
) -> Iterator[str]:
    """Yield what every guard has: counter and senders, the chain `inside`, and `forward` before what leaves is masqueraded.

    A packet of the tunnel that was not sent by another host ends in `inside`; what it lets pass came from elsewhere.
    Rules of `also` are for all that is forwarded.
    """
    for name, version in zip(LAST, (4, 6), strict=True):
        yield f"set {name} {{ type ipv{version}_addr; size {SENDERS}; flags dynamic,timeout; timeout {FORGOTTEN}; }}"
    yield from refusal("inside")
    yield from chain("inside", _inside(tunnel, networks, links))
    yield from chain("forwarded", [*_nested(tunnel, networks), judged(tunnel)])
    yield from hook("forward", "forward", BEFORE_FILTER, [*met(tunnel, "forwarded"), *also])


def chain(name: str, rules: Iterable[str]) -> Iterator[str]:
    """Yield a chain that others jump to."""
    yield f"chain {name} {{"
    yield from (f"  {rule}" for rule in rules)
    yield "}"


def hook(name: str, place: str, priority: int, rules: Iterable[str]) -> Iterator[str]:
    """Yield a chain the kernel calls itself at `place`."""
    yield from chain(name, [f"type filter hook {place} priority {priority}; policy accept;", *rules])


def refusal(reason: str) -> Iterator[str]:
    """Yield the counter of a reason and the chain that drops for it.

    The sender is noted in rules of their own: a set that is full ends a rule, and the packet would pass.
    """
    yield f"counter {reason} {{ }}"
    noted = [f"update @{name} {{ {ip} saddr }}" for name, ip in zip(LAST, ("ip", "ip6"), strict=True)]
    yield from chain(f"refuse_{reason}", [*noted, f'counter name "{reason}" drop'])


def listed(values: Iterable[object]) -> str:
    """Return values as the elements of an anonymous set."""
    return "{ " + ", ".join(map(str, values)) + " }"


def met(tunnel: Tunnel, target: str) -> Iterator[str]:
    """Yield the rules that send the tunnel's packets to a chain; a VXLAN packet's VNI is not looked at yet.

    In the forward path and, with IPv6, on the way in packets may come in fragments. The first one always has the whole
    UDP header (8 bytes are the least there is); without it the others are of no use to the receiver.
    """
    yield from (f"udp dport {port} jump {target}" for port in tunnel.ports)
    if tunnel.protocols:
        yield f"meta l4proto {listed(tunnel.protocols)} jump {target}"


def _nested(tunnel: Tunnel, networks: Sequence[IPNetwork]) -> Iterator[str]:
    """Yield the rules that let containers have a VXLAN of their own among themselves, with another VNI.

    Not towards anybody else: one packet may be many datagrams to the kernel (UDP_SEGMENT), and only the first one's VNI
    is seen here. Where these are taken apart, at a container's address, no tunnel of a host listens.
    """
    if tunnel.vni is not None:
        yield from (f"{_IP[one.version]} daddr {one} {VNI} != {tunnel.vni} return" for one in networks)


def judged(tunnel: Tunnel) -> str:
    """Return the rule that sends a packet of the tunnel to `inside`, unless it comes by the underlay."""
    return f'iifname != "{tunnel.underlay}" jump inside' if _known(tunnel) else "jump inside"


def _known(tunnel: Tunnel) -> bool:
    return bool(tunnel.underlay) and not _INEXPRESSIBLE.search(tunnel.underlay)


def _inside(tunnel: Tunnel, networks: Sequence[IPNetwork], links: Sequence[str]) -> Iterator[str]:
    """Yield the rules that drop what came from a container or out of a tunnel.

    Whatever address it claims: containers are behind a bridge or a veth, whoever made it, Docker's too; the underlay
    may be one itself.
    """
    if _known(tunnel):
        yield from (f'meta iifkind "{kind}" goto refuse_inside' for kind in ("bridge", "veth"))
    yield 'iifname "flannel*" goto refuse_inside'
    yield from (f'iifname "{name}" goto refuse_inside' for name in links if not _INEXPRESSIBLE.search(name))
    yield from (f"{_IP[network.version]} saddr {network} goto refuse_inside" for network in networks)
