"""Reads what netavark says about one container on one network: names, requested addresses, ports to publish.

`parse_names` reads only the names, all that a teardown needs: so a container can be removed although setup would refuse
it.
"""

from __future__ import annotations

from dataclasses import dataclass

from cni.attachment_id import AttachmentID
from cni.errors import CniError, Code
from driver import network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.json_object import JsonObject
    from driver.network import Network

PREFIX = "podman-"
"""Added before a network's name.

A conflist may have the same name; without the prefix its runtime's GC would remove Podman's containers.
"""

HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Names:
    """What identifies an attachment on this host."""

    network: str  # name that the CNI programs are told
    container_id: str
    ifname: str
    is_mapped: bool  # there may be published ports

    @property
    def alias(self) -> str:
        """The alias of its link on the host."""
        return AttachmentID(self.network, self.container_id, self.ifname).alias


@dataclass(frozen=True, slots=True)
class Port:
    """One published port."""

    host_ip: str  # empty: every address of the host
    host_port: int
    container_port: int
    protocol: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """One container on one network."""

    names: Names
    container_name: str  # Podman's name of the container
    network: Network
    ips: tuple[str, ...]  # requested addresses, at most one per family
    mac: str  # empty: any
    aliases: tuple[str, ...]  # further names, among them its short id
    ports: tuple[Port, ...]


def parse_names(document: JsonObject) -> Names:
    """Return the names in `document`. Raises CniError 7.

    It is netavark's per-network options (docs/reference/runtimes.md C.2).
    """
    return Names(
        network=f"{PREFIX}{_required(document, 'network').text('name')}",
        container_id=document.text("container_id"),
        ifname=_required(document, "network_options").text("interface_name"),
        is_mapped=bool(document.raw("port_mappings")),
    )


def parse(document: JsonObject) -> Attachment:
    """Return all that `document` asks for. Raises CniError 7 that names the key, its value and what is expected."""
    wishes = _required(document, "network_options")
    return Attachment(
        names=parse_names(document),
        container_name=document.text("container_name"),
        network=network.parse(_required(document, "network")),
        ips=wishes.texts("static_ips"),
        mac=wishes.text("static_mac"),
        aliases=wishes.texts("aliases"),
        ports=tuple(port for entry in document.sections("port_mappings") or () for port in _ports(entry)),
    )


def _required(document: JsonObject, key: str) -> JsonObject:
    found = document.section(key)
    if found is None:
        raise CniError(Code.INVALID_CONFIG, f'missing "{document.where(key)}"', "netavark tells it on stdin")
    return found


def _ports(entry: JsonObject) -> tuple[Port, ...]:
    """Return one port per protocol and per number of the range.

    Podman writes `tcp,udp`, and 0 or 1 for a single port.
    """
    length = entry.number("range", 1, lowest=0, highest=HIGHEST_PORT) or 1
    host, container = (entry.number(key, lowest=1, highest=HIGHEST_PORT) for key in ("host_port", "container_port"))
    protocols = (entry.text("protocol") or "tcp").split(",")
    return tuple(
        Port(entry.text("host_ip"), host + step, container + step, protocol)
        for protocol in protocols
        for step in range(length)
    )
