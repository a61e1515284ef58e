"""Reads a network of Podman's into values that are already valid, and writes what Podman stores of it.

A network names no subnet, since that differs between hosts. It names the lease file, which has everything else.
"""

from __future__ import annotations

from dataclasses import dataclass

from cni import addresses
from cni.errors import CniError, Code, quoted
from cni.types import Route
from lease.file import DEFAULT_PATH, HIGHEST_MTU, LOWEST_MTU

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from cni.json_object import JsonObject
    from system.ip import IPAddress

BRIDGE = "tulle0"
"""The bridge of the conflists that we ship. A lease has one bridge for all runtimes."""

NO_BOOK = {"driver": "none"}
"""Podman assigns no addresses: the lease's address book does, which Podman shares with the CNI programs."""


@dataclass(frozen=True, slots=True)
class Network:
    """One network of Podman's that leads to the overlay network of a lease."""

    name: str
    bridge: str
    lease: str  # path of the lease file
    mtu: int  # 0: the lease's
    internal: bool  # no way out of the overlay network
    ipv6: bool  # refuse a lease without an IPv6 subnet; with one, containers get an address in any case
    routes: tuple[Route, ...]
    names: bool = True  # names of containers resolve
    name_servers: tuple[IPAddress, ...] = ()  # asked about all other names; empty: the host's own


def parse(document: JsonObject) -> Network:
    """Return the network of `document`. Raises CniError 7 that names the key and the remedy.

    It is netavark's network JSON (docs/reference/runtimes.md C.2 and C.3).
    """
    _refuse_foreign_addresses(document)
    options = document.section("options")
    return Network(
        name=document.text("name"),
        bridge=document.text("network_interface") or BRIDGE,
        lease=_lease(options),
        mtu=_mtu(options),
        internal=document.flag("internal"),
        ipv6=document.flag("ipv6_enabled"),
        routes=tuple(_route(entry) for entry in document.sections("routes") or ()),
        names=not _is_nameless(options),
        name_servers=_name_servers(document, options),
    )


def kept(network: Network, document: JsonObject) -> dict[str, Any]:
    """Return what Podman stores: what it sent, with all defaults written out.

    It contains no subnets. Name servers and --disable-dns become options, because Podman refuses or forgets them for a
    network without addresses of its own.
    """
    told = {key: value for key, value in document.members.items() if key not in {"subnets", "network_dns_servers"}}
    resolves = network.names and document.flag("dns_enabled", default=True)
    options = {**document.mapping("options"), "lease": network.lease}
    if not resolves:
        options[NAMELESS] = "true"
    if network.name_servers:
        options[NAME_SERVERS] = ",".join(map(str, network.name_servers))
    decided = {"network_interface": network.bridge, "dns_enabled": resolves, "ipam_options": NO_BOOK}
    return {**told, **decided, "options": options}


def notice(network: Network) -> str:
    """Return what the person who creates the network must know."""
    return (
        f"network {network.name} is a door to the overlay network of {network.lease}: containers of every network on that "
        "lease reach each other, so two of them are not isolated from each other"
    )


def _refuse_foreign_addresses(document: JsonObject) -> None:
    if document.sections("subnets"):
        raise CniError(
            Code.INVALID_CONFIG,
            "a network of this driver has no subnet of its own",
            "leave --subnet, --gateway and --ip-range out: every host's subnet comes from its lease file, "
            "which -o lease=PATH names",
        )
    ipam = document.section("ipam_options")
    if ipam is not None and ipam.text("driver", "none") != "none":
        raise CniError(
            Code.INVALID_CONFIG,
            f"IPAM driver {quoted(ipam.text('driver'))} cannot serve this network",
            "leave --ipam-driver out: the addresses of a lease live in one book, for all runtimes of the host",
        )


NAMELESS, NAME_SERVERS = "disable_dns", "dns"
"""The options that --disable-dns and --dns become.

`dns_enabled` is false in every network without addresses of Podman's.
"""

OPTIONS = ("lease", "mtu", NAMELESS, NAME_SERVERS)


def _lease(options: JsonObject | None) -> str:
    """Return the path of the lease file. An unknown option is refused with the list of the known ones."""
    if options is None:
        return DEFAULT_PATH
    unknown = sorted(set(options.members) - set(OPTIONS))
    if unknown:
        raise CniError(
            Code.INVALID_CONFIG,
            f"unsupported network option {quoted(unknown[0])}",
            f"-o takes {', '.join(OPTIONS)}: lease=PATH is the lease file, mtu=BYTES is for containers, dns=ADDRESS,... "
            "are asked about names that are no container's",
        )
    path = options.text("lease")
    if path and not path.startswith("/"):
        options.refuse("lease", path, "an absolute path")
    return path or DEFAULT_PATH


def _mtu(options: JsonObject | None) -> int:
    text = options.text("mtu") if options else ""
    if options is None or not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and LOWEST_MTU <= int(text) <= HIGHEST_MTU):
        options.refuse("mtu", text, f"a number of bytes between {LOWEST_MTU} and {HIGHEST_MTU}")
    return int(text)


def _is_nameless(options: JsonObject | None) -> bool:
    text = options.text(NAMELESS, "false") if options else "false"
    if options is not None and text not in {"true", "false"}:
        options.refuse(NAMELESS, text, "true or false")
    return text == "true"


def _name_servers(document: JsonObject, options: JsonObject | None) -> tuple[IPAddress, ...]:
    """Return the name servers of --dns, and of our option."""
    kept = options.text(NAME_SERVERS) if options else ""
    texts = dict.fromkeys((*filter(None, kept.split(",")), *document.texts("network_dns_servers")))
    return tuple(_name_server(document, text) for text in texts)


def _name_server(document: JsonObject, text: str) -> IPAddress:
    try:
        return addresses.parse_address(text)
    except ValueError:
        document.refuse("network_dns_servers", text, "the IP address of a name server")


def _route(entry: JsonObject) -> Route:
    kind = entry.text("route_type", "unicast")
    if kind != "unicast":
        entry.refuse("route_type", kind, "unicast: this driver knows no other routes")
    metric = entry.number("metric", lowest=0, highest=2**32 - 1)
    return Route(entry.required_interface("destination"), entry.address("gateway"), priority=metric)


def mapping_of(route: Route) -> Mapping[str, Any]:
    """Return a route as the configuration of IPAM writes it."""
    told = {"dst": str(route.dst), "gw": str(route.gw) if route.gw else "", "priority": route.priority}
    return {key: value for key, value in told.items() if value}
