"""Decides what the name server of this host knows.

Where it listens for each network, and which names lead to which addresses.

A zone is a network with its containers on this host. It becomes a file of aardvark-dns (its config.md). aardvark-dns
decides by the container's address which networks' names it may see, whichever address it asked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from typing import Any

    from system.ip import IPAddress

FILLER = ip_address("127.83.0.0")
"""aardvark-dns needs an address to listen on for every zone.

Two zones of one lease have the same gateway, so the later one gets this address, which nobody asks.
"""

INTERNAL = "%int"
"""Ends the file name of a zone whose containers get no answers for other names (netavark#965)."""

SEARCH = "dns.podman"
"""The domain of all names, as netavark tells Podman. Resolvers append it to a name without a dot."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One container on one network."""

    container_id: str
    alias: str  # of its link on the host
    addresses: tuple[IPAddress, ...]  # its addresses on the network
    names: tuple[str, ...]
    told: tuple[IPAddress, ...] = ()  # name servers that it was told to ask


@dataclass(frozen=True, slots=True)
class Zone:
    """One network."""

    network: str
    gateways: tuple[IPAddress, ...]  # addresses that its containers ask
    internal: bool = False  # no answers for other names
    forwarders: tuple[IPAddress, ...] = ()  # asked for other names; empty: as the host does
    entries: tuple[Entry, ...] = ()  # its containers


Zones = tuple[Zone, ...]
"""All zones of a host, in the order in which they came: the first of a lease keeps the gateway."""


def names(given: Iterable[str]) -> tuple[str, ...]:
    """Return those of `given` that the file format can hold, each once. Podman accepts any text as an alias."""
    return tuple(dict.fromkeys(name for name in given if name and name.isprintable() and not {" ", ","} & set(name)))


def entered(zones: Zones, zone: Zone, entry: Entry) -> Zones:
    """Return the zones with `entry` in `zone`; the other fields of `zone` replace what was known of that network.

    Another container with one of its addresses must be gone, because the address book gives an address to one
    container.
    """
    taken = set(entry.addresses)
    others = _kept(zones, lambda one: taken.isdisjoint(one.addresses) and one.alias != entry.alias)
    known = {each.network: each for each in others}
    before = known[zone.network].entries if zone.network in known else ()
    return _peopled((known | {zone.network: replace(zone, entries=(*before, entry))}).values())


def struck(zones: Zones, alias: str) -> Zones:
    """Return the zones without the container whose host link has this alias.

    A zone disappears with its last container.
    """
    return _peopled(_kept(zones, lambda one: one.alias != alias))


def living(zones: Zones, aliases: Collection[str]) -> Zones:
    """Return the zones with only those containers whose host link exists now."""
    return _peopled(_kept(zones, lambda one: one.alias in aliases))


def untold(zones: Zones, zone: Zone, container_id: str, local: Collection[IPAddress]) -> tuple[IPAddress, ...]:
    """Return the gateways of `zone` that are on this host and that no other network told this container to ask.

    Podman has one list of servers per container: a server told twice would be in it twice, and disappear completely
    when the first of the two networks leaves.
    """
    others = (entry for other in zones if other.network != zone.network for entry in other.entries)
    told = {server for entry in others if entry.container_id == container_id for server in entry.told}
    return tuple(gateway for gateway in zone.gateways if gateway in local and gateway not in told)


def listened(zones: Zones, local: Collection[IPAddress]) -> dict[str, tuple[IPAddress, ...]]:
    """Return for each network where the server listens.

    At its gateways, if they are among `local` and no other network has them.

    `local` are this host's addresses.
    """
    free = set(local)
    places = {}
    for number, zone in enumerate(zones, start=1):
        own = tuple(gateway for gateway in zone.gateways if gateway in free)
        free -= set(own)
        places[zone.network] = own or (FILLER + number,)
    return places


def files(zones: Zones, local: Collection[IPAddress]) -> dict[str, str]:
    """Return the files of aardvark-dns as name -> text.

    A line with addresses and forwarders, then one line per container.
    """
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
    """Return the zones as JSON values."""
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
    """Return the zones that `dump` turned into these members.

    Raises ValueError, KeyError or TypeError for anything else.
    """
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
