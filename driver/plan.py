"""Decides what each program is told, and what Podman is told of their result.

Pure: knows attachments and results; must not see files, the kernel or how a program is run.
"""

from __future__ import annotations

import json

from cni import results
from cni.versions import NEWEST
from driver import network
from lease.file import DEFAULT_PATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cni.types import Result
    from driver.attachment import Attachment, Names, Port


def bridge(attachment: Attachment) -> bytes:
    """Return the configuration that attaches the container; addresses, MTU and masquerade are the lease's (docs/plugins/bridge.md)."""
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
    """Return the configuration that publishes the ports; None for none, and inside an internal network, which nobody enters."""
    if not attachment.ports or attachment.network.internal:
        return None
    mappings = [_mapping(port) for port in attachment.ports]
    previous = results.dump(attached, NEWEST)
    return _document(attachment.names, "portmap", {"runtimeConfig": {"portMappings": mappings}, "prevResult": previous})


def removals(names: Names) -> tuple[tuple[str, bytes], ...]:
    """Return the programs to run for DEL with what each is told, ports first; nothing here depends on the lease."""
    mapped: dict[str, Any] = {"runtimeConfig": {"portMappings": [{}]}} if names.is_mapped else {}
    attached = {"subnetFile": DEFAULT_PATH, "ipam": {"type": "host-local"}}
    return ("portmap", _document(names, "portmap", mapped)), ("bridge", _document(names, "bridge", attached))


def status(attached: Result, names: Names, netns: str) -> dict[str, Any]:
    """Return the status block of netavark (runtimes.md C.2) for the interface in the container."""
    index, end = next(
        (index, end)
        for index, end in enumerate(attached.interfaces)
        if (end.name, end.sandbox) == (names.ifname, netns)
    )
    subnets = [
        {"ipnet": str(entry.address), **({"gateway": str(entry.gateway)} if entry.gateway else {})}
        for entry in attached.ips
        if entry.interface == index
    ]
    return {
        "interfaces": {names.ifname: {"mac_address": end.mac, "subnets": subnets}},
        "dns_server_ips": list(attached.dns.nameservers),
        "dns_search_domains": list(attached.dns.search),
    }


def _document(names: Names, program: str, members: dict[str, Any]) -> bytes:
    return json.dumps({"cniVersion": NEWEST, "name": names.network, "type": program, **members}).encode()


def _wishes(attachment: Attachment) -> dict[str, Any]:
    """Return what the runtime asks for this container, as Podman tells CNI programs (runtimes.md A.4)."""
    wishes = {
        "ips": list(attachment.ips),
        "mac": attachment.mac,
        "aliases": {attachment.network.name: list(attachment.aliases)} if attachment.aliases else {},
    }
    return {key: value for key, value in wishes.items() if value}


def _mapping(port: Port) -> dict[str, Any]:
    told = {"hostPort": port.host_port, "containerPort": port.container_port, "protocol": port.protocol}
    return {**told, "hostIP": port.host_ip} if port.host_ip else told
