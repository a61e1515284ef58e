"""Decides the configuration of each program, and what Podman is told of the result."""

from __future__ import annotations

import json

from cni import results
from cni.versions import NEWEST
from driver import network, zones
from driver.zones import Entry, Zone
from lease.file import DEFAULT_PATH

SHORT = 12
"""How many characters of a container's id Podman shows, and uses as a name."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from cni.types import Address, Result
    from driver.attachment import Attachment, Names, Port
    from system.ip import IPAddress


def bridge(attachment: Attachment) -> bytes:
    """Return the configuration that attaches the container.

    Addresses, MTU and masquerade come from the lease (docs/plugins/bridge.md).
    """
    door = attachment.network
    outward = {"ipMasq": False} if door.internal else {"isDefaultGateway": True}
    return _document(
        attachment.names,
        "bridge",
        {
            "bridge": door.bridge,
            "subnetFile": door.lease,
            **({"mtu": door.mtu} if door.mtu else {}),
            **outward,
            "hairpinMode": True,
            "ipam": {"type": "host-local", "routes": [network.mapping_of(route) for route in door.routes]},
            "runtimeConfig": _wishes(attachment),
        },
    )


def portmap(attachment: Attachment, attached: Result) -> bytes | None:
    """Return the configuration that publishes the ports.

    None without ports and in an internal network, which nobody enters.
    """
    if not attachment.ports or attachment.network.internal:
        return None
    mappings = [_mapping(port) for port in attachment.ports]
    previous = results.dump(attached, NEWEST)
    return _document(attachment.names, "portmap", {"runtimeConfig": {"portMappings": mappings}, "prevResult": previous})


def removals(names: Names) -> tuple[tuple[str, bytes], ...]:
    """Return the programs to run for DEL, ports first, each with its configuration.

    Nothing here depends on the lease.
    """
    mapped: dict[str, Any] = {"runtimeConfig": {"portMappings": [{}]}} if names.is_mapped else {}
    attached = {"subnetFile": DEFAULT_PATH, "ipam": {"type": "host-local"}}
    return ("portmap", _document(names, "portmap", mapped)), ("bridge", _document(names, "bridge", attached))


def named(attachment: Attachment, attached: Result, netns: str) -> tuple[Zone, Entry]:
    """Return the zone of the network as this host knows it now, and the container's names in it."""
    door, names = attachment.network, attachment.names
    _, _, ips = _interface(attached, names, netns)
    short = names.container_id[:SHORT]
    gateways = tuple(dict.fromkeys(entry.gateway for entry in ips if entry.gateway))
    return Zone(names.network, gateways, door.internal, door.name_servers), Entry(
        names.container_id,
        names.alias,
        tuple(entry.address.ip for entry in ips),
        zones.names((attachment.container_name, *attachment.aliases, short)),
    )


def status(attached: Result, names: Names, netns: str) -> dict[str, Any]:
    """Return netavark's status block for the container's interface, without name servers.

    See docs/reference/runtimes.md C.2.
    """
    name, mac, ips = _interface(attached, names, netns)
    subnets = [
        {"ipnet": str(entry.address), **({"gateway": str(entry.gateway)} if entry.gateway else {})} for entry in ips
    ]
    return {"interfaces": {name: {"mac_address": mac, "subnets": subnets}}, **resolver(())}


def resolver(servers: Collection[IPAddress]) -> dict[str, Any]:
    """Return the part of the status block that becomes resolv.conf. Without servers the container gets the host's."""
    return {
        "dns_server_ips": [str(server) for server in servers],
        "dns_search_domains": [zones.SEARCH] if servers else [],
    }


def _interface(attached: Result, names: Names, netns: str) -> tuple[str, str, tuple[Address, ...]]:
    """Return name, MAC and addresses of the interface in the container."""
    index, end = next(
        (index, end)
        for index, end in enumerate(attached.interfaces)
        if (end.name, end.sandbox) == (names.ifname, netns)
    )
    return end.name, end.mac, tuple(entry for entry in attached.ips if entry.interface == index)


def _document(names: Names, program: str, members: dict[str, Any]) -> bytes:
    return json.dumps({"cniVersion": NEWEST, "name": names.network, "type": program, **members}).encode()


def _wishes(attachment: Attachment) -> dict[str, Any]:
    """Return the runtimeConfig for this container, as Podman gives it to CNI programs.

    See docs/reference/runtimes.md A.4.
    """
    wishes = {
        "ips": list(attachment.ips),
        "mac": attachment.mac,
        "aliases": {attachment.network.name: list(attachment.aliases)} if attachment.aliases else {},
    }
    return {key: value for key, value in wishes.items() if value}


def _mapping(port: Port) -> dict[str, Any]:
    told = {"hostPort": port.host_port, "containerPort": port.container_port, "protocol": port.protocol}
    return {**told, "hostIP": port.host_ip} if port.host_ip else told
