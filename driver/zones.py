"""Decides what the name server of this host knows: for every network where it listens, and which names are whose.

A zone is a network with the containers that are on it here. Its text is what aardvark-dns reads (its config.md), which answers a
container by the networks its address is in, whatever address it asked at. Pure: must not see files or processes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from typing import Any

    from cni.types import IPAddress

FILLER = ip_address("127.83.0.0")
"""aardvark-dns listens somewhere for every zone, and two zones of a lease have one gateway: a later one gets an address nobody asks."""

INTERNAL = "%int"
"""Ends the file's name of a zone whose containers get no answers about the outside (netavark#965)."""

SEARCH = "dns.podman"
"""The domain of all names, as netavark says it to Podman: resolvers append it to a name without a dot."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One container on a network: the alias of its host link, its addresses there, its names, and whom it was told to ask."""

    container_id: str
    alias: str
    addresses: tuple[IPAddress, ...]
    names: tuple[str, ...]
    told: tuple[IPAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class Zone:
    """One network: the gateways its containers ask, who is asked about the outside (none: as the host does), and its containers."""

    network: str
    gateways: tuple[IPAddress, ...]
    internal: bool = False
    forwarders: tuple[IPAddress, ...] = ()
    entries: tuple[Entry, ...] = ()


Zones = tuple[Zone, ...]
"""All zones of a host in the order in which they came: the first of a lease keeps its gateway."""


def names(given: Iterable[str]) -> tuple[str, ...]:
    """Return, each once, those of `given` that the form can carry: Podman takes any text for an alias."""
    return tuple(dict.fromkeys(name for name in given if name and name.isprintable() and not {" ", ","} & set(name)))


def entered(zones: Zones, zone: Zone, entry: Entry) -> Zones:
    """Return the zones with `entry` in `zone`, whose other words replace what was known of that network.

    Another container with one of its addresses is gone, because the address book gives an address once.
    """
    taken = set(entry.addresses)
    others = _kept(zones, lambda one: taken.isdisjoint(one.addresses) and one.alias != entry.alias)
    known = {each.network: each for each in others}
    before = known[zone.network].entries if zone.network in known else ()
    return _peopled((known | {zone.network: replace(zone, entries=(*before, entry))}).values())


def struck(zones: Zones, alias: str) -> Zones:
    """Return the zones without the container whose host link has this alias; a zone goes with its last container."""
    return _peopled(_kept(zones, lambda one: one.alias != alias))


def living(zones: Zones, aliases: Collection[str]) -> Zones:
    """Return the zones with those containers only that have a host link now."""
    return _peopled(_kept(zones, lambda one: one.alias in aliases))


def untold(zones: Zones, zone: Zone, container_id: str, local: Collection[IPAddress]) -> tuple[IPAddress, ...]:
    """Return the gateways of `zone`, as far as this host has them, that no other network told this container to ask.

    Podman keeps one list: a server told twice would stand there twice, and leave it whole with the first network that leaves.
    """
    others = (entry for other in zones if other.network != zone.network for entry in other.entries)
    told = {server for entry in others if entry.container_id == container_id for server in entry.told}
    return tuple(gateway for gateway in zone.gateways if gateway in local and gateway not in told)


def listened(zones: Zones, local: Collection[IPAddress]) -> dict[str, tuple[IPAddress, ...]]:
    """Return by network where the server is to listen: at its gateways, if `local` (this host's addresses) has them and no other does."""
    free = set(local)
    places = {}
    for number, zone in enumerate(zones, start=1):
        own = tuple(gateway for gateway in zone.gateways if gateway in free)
        free -= set(own)
        places[zone.network] = own or (FILLER + number,)
    return places


def files(zones: Zones, local: Collection[IPAddress]) -> dict[str, str]:
    """Return the files of aardvark-dns, name -> text: a line where to listen and whom to ask, then a line a container."""
    places = listened(zones, local)
    return {
        f"{zone.network}{INTERNAL if zone.internal else ''}": "\n".join(
            (
                " ".join(filter(None, (_list(places[zone.network]), _list(zone.forwarders)))),
                *map(_line, zone.entries),
                "",
            )
        )
        for zone in zones
    }


def dump(zones: Zones) -> list[dict[str, Any]]:
    """Return the zones as JSON has them."""
    return [
        {
            "network": zone.network,
            "gateways": [str(address) for address in zone.gateways],
            "internal": zone.internal,
            "forwarders": [str(address) for address in zone.forwarders],
            "containers": [
                {
                    "id": entry.container_id,
                    "alias": entry.alias,
                    "addresses": [str(address) for address in entry.addresses],
                    "names": list(entry.names),
                    "told": [str(address) for address in entry.told],
                }
                for entry in zone.entries
            ],
        }
        for zone in zones
    ]


def load(members: Any) -> Zones:
    """Return what `dump` made the members of. Raises ValueError, KeyError or TypeError for anything else."""
    return tuple(
        Zone(
            zone["network"],
            _addresses(zone["gateways"]),
            zone["internal"],
            _addresses(zone["forwarders"]),
            tuple(
                Entry(
                    one["id"], one["alias"], _addresses(one["addresses"]), tuple(one["names"]), _addresses(one["told"])
                )
                for one in zone["containers"]
            ),
        )
        for zone in members
    )


def _kept(zones: Zones, keep: Callable[[Entry], bool]) -> Zones:
    return tuple(replace(zone, entries=tuple(filter(keep, zone.entries))) for zone in zones)


def _peopled(zones: Iterable[Zone]) -> Zones:
    return tuple(zone for zone in zones if zone.entries)


def _line(entry: Entry) -> str:
    families = (_list(address for address in entry.addresses if address.version == version) for version in (4, 6))
    return " ".join((entry.container_id, *families, ",".join(entry.names)))


def _list(addresses: Iterable[IPAddress]) -> str:
    return ",".join(map(str, addresses))


def _addresses(texts: Iterable[str]) -> tuple[IPAddress, ...]:
    return tuple(map(ip_address, texts))
