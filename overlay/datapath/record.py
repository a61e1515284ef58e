"""What a daemon made on its host, remembered beside the lease file, so that a later start can take it away.

For a start with another backend, VNI or network. Only what is written here and is still the very same is ever removed: a link by its name and index, a route
by its shape. A record of an earlier boot is void. Blind spot: what was made in the moment before a crash, unrecorded.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from lease import tunnel
from lease.tunnel import Tunnel
from overlay.backends import Desired, IPNetwork
from system import atomic_file


@dataclass(frozen=True, slots=True)
class CreatedObjects:
    """Links by name and index, tunnels that have a guard, networks with routes by other hosts, blackholes; and the firewall's.

    `rules` are network, own subnet, and whether they are nftables'. `tunnels` are for who attaches containers: nothing is removed by them.
    """

    links: frozenset[tuple[str, int]] = frozenset()
    guards: frozenset[str] = frozenset()
    gateways: frozenset[IPNetwork] = frozenset()
    blackholes: frozenset[IPNetwork] = frozenset()
    rules: frozenset[tuple[IPNetwork, IPNetwork, bool]] = frozenset()
    tunnels: tuple[Tunnel, ...] = ()

    def without(self, wanted: "CreatedObjects") -> "CreatedObjects":
        """Return what is here and not wanted any more; a link that is wanted by name stays, whatever its index."""
        names = {name for name, _ in wanted.links}
        return CreatedObjects(
            frozenset(one for one in self.links if one[0] not in names),
            self.guards - wanted.guards,
            self.gateways - wanted.gateways,
            self.blackholes - wanted.blackholes,
            self.rules - wanted.rules,
        )


def wanted(desired: Desired, blackholes: Iterable[IPNetwork]) -> CreatedObjects:
    """Return what a backend's wishes come to; links have no index yet."""
    names = (*(tunnel.device.name for tunnel in desired.tunnels), *(pipe.name for pipe in desired.pipes))
    return CreatedObjects(
        frozenset((name, 0) for name in names),
        frozenset([desired.guard.name] if desired.guard else ()),
        frozenset(desired.direct.networks if desired.direct else ()),
        frozenset(blackholes),
    )


class CreatedObjectsFile:
    """The file that remembers the estate of the daemon with this lease file; `boot` is this boot's id."""

    def __init__(self, lease_file: str, boot: str) -> None:
        self.path = f"{lease_file}.made"
        self._boot = boot

    def read(self) -> CreatedObjects:
        """Return what is remembered of this boot; nothing when there is no such file, or one that nobody of ours wrote."""
        try:
            members = json.loads(Path(self.path).read_text(encoding="utf-8"))
            return _decoded(members) if members["boot"] == self._boot else CreatedObjects()
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return CreatedObjects()

    def subnets(self) -> tuple[IPNetwork, ...]:
        """Return the subnets this host has had in this boot, as far as firewall rules tell."""
        return tuple(sorted({subnet for _, subnet, _ in self.read().rules}, key=str))

    def write(self, estate: CreatedObjects) -> None:
        """Remember; raises OSError."""
        text = json.dumps({"boot": self._boot, **_encoded(estate)}) + "\n"
        place = Path(self.path)
        atomic_file.replace(self.path, text.encode(), 0o644, pending=str(place.with_name(f".{place.name}.new")))


def _encoded(estate: CreatedObjects) -> dict[str, Any]:
    return {
        "links": sorted(map(list, estate.links)),
        "guards": sorted(estate.guards),
        "gateways": sorted(map(str, estate.gateways)),
        "blackholes": sorted(map(str, estate.blackholes)),
        "rules": sorted([str(network), str(subnet), native] for network, subnet, native in estate.rules),
        tunnel.KEY: [tunnel.encoded(one) for one in estate.tunnels],
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
