"""The record of what a daemon created on its host, beside the lease file, so that a later start can remove it.

It is for a start with another backend, VNI or network. Only what is in the record and still the same is ever removed: a
link with the recorded name and index, a route of the recorded kind. A record of an earlier boot does not count. What
was created in the moment before a crash may be missing in the record, and then stays.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from lease import tunnel
from lease.tunnel import Tunnel
from overlay.backends import Desired
from system import atomic_file
from system.ip import IPNetwork


@dataclass(frozen=True, slots=True)
class CreatedObjects:
    """What one daemon created on its host."""

    links: frozenset[tuple[str, int]] = frozenset()
    """Our devices, each by name and index."""
    guards: frozenset[str] = frozenset()
    """The names of the tunnels that have a filter (overlay.firewall.tunnel_filter)."""
    gateways: frozenset[IPNetwork] = frozenset()
    """The networks for which routes by other hosts were set."""
    blackholes: frozenset[IPNetwork] = frozenset()
    """The destinations of the blackhole routes."""
    rules: frozenset[tuple[IPNetwork, IPNetwork, bool]] = frozenset()
    """Firewall rules: the network, our own subnet in it, and whether they are in nftables."""
    tunnels: tuple[Tunnel, ...] = ()
    """Tunnels, for the programs that attach containers (lease.tunnel); nothing is removed by them."""

    def without(self, wanted: "CreatedObjects") -> "CreatedObjects":
        """Return what is recorded here and no longer wanted; a link whose name is wanted stays, whatever its index."""
        names = {name for name, _ in wanted.links}
        return CreatedObjects(
            frozenset(one for one in self.links if one[0] not in names),
            self.guards - wanted.guards,
            self.gateways - wanted.gateways,
            self.blackholes - wanted.blackholes,
            self.rules - wanted.rules,
        )


def wanted(desired: Desired, blackholes: Iterable[IPNetwork]) -> CreatedObjects:
    """Return what will have been created for a backend; its links have the index 0, because they may not exist yet."""
    names = (*(tunnel.device.name for tunnel in desired.tunnels), *(pipe.name for pipe in desired.pipes))
    return CreatedObjects(
        frozenset((name, 0) for name in names),
        frozenset([desired.guard.name] if desired.guard else ()),
        frozenset(desired.direct.networks if desired.direct else ()),
        frozenset(blackholes),
    )


class CreatedObjectsFile:
    """The record of the daemon with this lease file; `boot` is this boot's id."""

    def __init__(self, lease_file: str, boot: str) -> None:
        self.path = f"{lease_file}.made"
        self._boot = boot

    def read(self) -> CreatedObjects:
        """Return what is recorded for this boot; nothing when there is no file, or one that no daemon wrote."""
        try:
            members = json.loads(Path(self.path).read_text(encoding="utf-8"))
            return _decoded(members) if members["boot"] == self._boot else CreatedObjects()
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return CreatedObjects()

    def subnets(self) -> tuple[IPNetwork, ...]:
        """Return the subnets this host has had in this boot, as far as its firewall rules show."""
        return tuple(sorted({subnet for _, subnet, _ in self.read().rules}, key=str))

    def write(self, created: CreatedObjects) -> None:
        """Write the record; raises OSError."""
        text = json.dumps({"boot": self._boot, **_encoded(created)}) + "\n"
        place = Path(self.path)
        atomic_file.replace(self.path, text.encode(), 0o644, pending=str(place.with_name(f".{place.name}.new")))


def _encoded(created: CreatedObjects) -> dict[str, Any]:
    return {
        "links": sorted(map(list, created.links)),
        "guards": sorted(created.guards),
        "gateways": sorted(map(str, created.gateways)),
        "blackholes": sorted(map(str, created.blackholes)),
        "rules": sorted([str(network), str(subnet), native] for network, subnet, native in created.rules),
        tunnel.KEY: [tunnel.encoded(one) for one in created.tunnels],
    }


def _decoded(members: dict[str, Any]) -> CreatedObjects:
    return CreatedObjects(
        frozenset((str(name), int(index)) for name, index in members["links"]),
        frozenset(map(str, members["guards"])),
        frozenset(map(ip_network, members["gateways"])),
        frozenset(map(ip_network, members["blackholes"])),
        frozenset((ip_network(net), ip_network(own), bool(native)) for net, own, native in members["rules"]),
        tuple(tunnel.decoded(one) for one in members.get(tunnel.KEY, ())),
    )
