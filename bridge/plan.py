"""Decides what an attachment consists of; ADD builds it, CHECK compares the kernel with it, from one and the same plan.

Pure: knows settings, lease and addresses; must not see a namespace, a socket or a file.
"""

from dataclasses import dataclass, replace
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, collapse_addresses, ip_interface

from bridge import vlans
from bridge.config import Settings
from bridge.spoofchk_ports import Port
from cni.attachment_id import AttachmentID
from cni.errors import CniError, Code
from cni.types import Address, IPAddress, IPInterface, Result, Route
from lease.file import Lease

IPNetwork = IPv4Network | IPv6Network

CONTAINER = 2
"""Index of the container end in the result's interfaces: bridge, host end, container end (docs/reference/cni.md 2.3)."""

ANYWHERE = {4: ip_interface("0.0.0.0/0"), 6: ip_interface("::/0")}


@dataclass(frozen=True, slots=True)
class Masquerade:
    """One address whose traffic leaves under the host's address, except towards `inside`."""

    address: IPAddress
    inside: tuple[IPNetwork, ...]


@dataclass(frozen=True, slots=True)
class Attachment:
    """Everything one ADD makes; addresses carry their prefix, routes their gateway.

    `members` are the VLANs of the container's port, none leaves it as the bridge made it; `gateway_vlan` is the VLAN whose
    gateway link is needed, 0 for none; an empty `masquerade_backend` is chosen by what works.
    """

    owner: AttachmentID
    sandbox: str
    bridge: str
    mtu: int
    mac: str
    hairpin: bool
    isolated: bool
    promiscuous: bool
    detect_duplicates: bool
    container_down: bool
    addresses: tuple[Address, ...]
    routes: tuple[Route, ...]
    gateways: tuple[IPInterface, ...]
    replace_gateways: bool
    leased: tuple[IPNetwork, ...]
    masquerade: tuple[Masquerade, ...]
    masquerade_backend: str
    vlan_filtering: bool
    members: tuple[vlans.Member, ...]
    gateway_vlan: int
    keep_default_vlan: bool
    mac_check: bool
    spoof_check: bool

    @property
    def gateway_link(self) -> str:
        """The link that carries the gateway addresses: the bridge itself, or the gateway link of the VLAN."""
        return vlans.gateway_name(self.bridge, self.gateway_vlan) if self.gateway_vlan else self.bridge

    def port(self, name: str, mac: str) -> Port:
        """Return what the container may send through its port of this name."""
        return Port(name, mac, tuple(entry.address.ip for entry in self.addresses))

    @property
    def families(self) -> tuple[int, ...]:
        """The address families in use, 4 and 6."""
        return tuple(sorted({entry.address.version for entry in self.addresses}))


def attachment(
    settings: Settings, owner: AttachmentID, lease: Lease | None, given: Result, *, sandbox: str
) -> Attachment:
    """Return the plan for `given`, which is IPAM's answer (ADD) or an earlier result (CHECK); `sandbox` is CNI_NETNS."""
    addresses = tuple(_with_gateway(entry, settings) for entry in given.ips)
    gateways = _gateways(settings, addresses)
    return Attachment(
        owner=owner,
        sandbox=sandbox,
        bridge=settings.bridge,
        mtu=_first(settings.mtu, lease.mtu if lease else None, 0),
        mac=settings.mac,
        hairpin=settings.hairpin,
        isolated=settings.isolated,
        promiscuous=settings.promiscuous,
        detect_duplicates=settings.detect_duplicates,
        container_down=settings.container_down,
        addresses=addresses,
        routes=_routes(settings, addresses, given.routes),
        gateways=gateways,
        replace_gateways=settings.force_address,
        leased=lease.subnets if lease else (),
        masquerade=_masquerade(settings, lease, addresses),
        masquerade_backend=settings.masq_backend,
        vlan_filtering=settings.vlan_filtering,
        members=vlans.container_port(settings.vlan, settings.trunk),
        gateway_vlan=settings.vlan if gateways else 0,
        keep_default_vlan=settings.keep_default_vlan,
        mac_check=settings.mac_check,
        spoof_check=settings.spoof_check,
    )


def same_reading(settings: Settings, lease: Lease | None, given: Result) -> None:
    """Insist that IPAM read the lease this program read: one ADD, one reading; CniError 11 when it changed between."""
    if lease is None or not settings.ipam_follows_lease:
        return
    for entry in given.ips:
        if not any(entry.address.ip in subnet for subnet in lease.subnets):
            raise CniError(
                Code.TRY_AGAIN_LATER,
                f"the lease changed while the container was added: {settings.ipam_type} gave {entry.address}, "
                f"{settings.subnet_file} says {' '.join(map(str, lease.subnets))}",
                "try again: the next attempt reads the new lease throughout",
            )


def _first(*choices: int | None) -> int:
    return next(choice for choice in choices if choice is not None)


def _with_gateway(entry: Address, settings: Settings) -> Address:
    """Point the address at the container end; a gateway bridge answers on the first address of the subnet by default."""
    gateway = entry.gateway
    if gateway is None and settings.is_gateway:
        gateway = entry.address.network.network_address + 1
    return replace(entry, gateway=gateway, interface=CONTAINER)


def _routes(settings: Settings, addresses: tuple[Address, ...], routes: tuple[Route, ...]) -> tuple[Route, ...]:
    """Append a default route for each family that has none with a gateway of its own."""
    if not settings.is_default_gateway:
        return routes
    explicit = {route.dst.version for route in routes if route.gw is not None and route.dst.network.prefixlen == 0}
    defaults: dict[int, Route] = {}
    for entry in addresses:
        version = entry.address.version
        if version not in explicit and version not in defaults:
            defaults[version] = Route(dst=ANYWHERE[version], gw=entry.gateway)
    kept = tuple(route for route in routes if not _restates(route, defaults))
    return kept + tuple(defaults.values())


def _restates(route: Route, defaults: dict[int, Route]) -> bool:
    """Tell whether a gateway-less default route from IPAM says the same as the one about to be added."""
    return route == Route(dst=ANYWHERE[route.dst.version]) and route.dst.version in defaults


def _gateways(settings: Settings, addresses: tuple[Address, ...]) -> tuple[IPInterface, ...]:
    """Return the addresses the bridge itself answers on, IPv4 before IPv6, each once."""
    if not settings.is_gateway:
        return ()
    wanted = [
        _interface(entry.gateway, entry.address.network.prefixlen)
        for entry in sorted(addresses, key=lambda entry: entry.address.version)
        if entry.gateway is not None
    ]
    return tuple(dict.fromkeys(wanted))


def _interface(address: IPAddress, length: int) -> IPInterface:
    return (IPv4Interface if address.version == 4 else IPv6Interface)((int(address), length))


def _masquerade(settings: Settings, lease: Lease | None, addresses: tuple[Address, ...]) -> tuple[Masquerade, ...]:
    """Masquerade towards everything but the own subnet and, on an overlay, its networks: overlay traffic stays as it is."""
    follows = lease is not None and not lease.ipmasq
    if not (follows if settings.ip_masq is None else settings.ip_masq):
        return ()
    networks: tuple[IPNetwork, ...] = (*lease.networks, *lease.ipv6_networks) if lease else ()
    return tuple(
        Masquerade(
            entry.address.ip,
            _collapsed(entry.address.network, networks),
        )
        for entry in addresses
    )


def _collapsed(own: IPNetwork, networks: tuple[IPNetwork, ...]) -> tuple[IPNetwork, ...]:
    """Return the own subnet and the `networks` of its family without overlaps, which an nft set would reject."""
    if isinstance(own, IPv4Network):
        return tuple(collapse_addresses([own, *(net for net in networks if isinstance(net, IPv4Network))]))
    return tuple(collapse_addresses([own, *(net for net in networks if isinstance(net, IPv6Network))]))
