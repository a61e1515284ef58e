"""Decides what an attachment consists of. ADD builds this plan, CHECK compares the kernel with the same plan.

It works on settings, lease and addresses only, and does not look at the host.
"""

from dataclasses import dataclass, replace
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, collapse_addresses, ip_interface

from bridge import vlans
from bridge.config import Settings
from bridge.spoofchk_ports import Port
from cni.attachment_id import AttachmentID
from cni.errors import CniError, Code
from cni.types import Address, Result, Route
from lease.file import Lease
from system.ip import IPAddress, IPInterface, IPNetwork

CONTAINER = 2
"""Index of the container end in the result's interfaces: bridge, host end, container end (docs/reference/cni.md 2.3)."""

ANYWHERE = {4: ip_interface("0.0.0.0/0"), 6: ip_interface("::/0")}


@dataclass(frozen=True, slots=True)
class Masquerade:
    """The masquerade of one address."""

    address: IPAddress  # packets from it leave with the host's address
    inside: tuple[IPNetwork, ...]  # except packets to these networks


@dataclass(frozen=True, slots=True)
class Attachment:
    """Everything that one ADD makes."""

    owner: AttachmentID
    sandbox: str  # CNI_NETNS: path of the container's network namespace
    bridge: str  # name of the bridge
    mtu: int  # 0: the kernel's default
    mac: str  # of the container's end; empty: a random one
    hairpin: bool
    isolated: bool  # ports with this flag do not reach each other
    promiscuous: bool  # the bridge receives every frame
    detect_duplicates: bool  # wait for duplicate address detection
    container_down: bool  # leave the container's interface down, without addresses
    addresses: tuple[Address, ...]  # with their prefix, gateway and index of the interface
    routes: tuple[Route, ...]  # with their gateway
    gateways: tuple[IPInterface, ...]  # addresses of the bridge itself
    replace_gateways: bool  # replace a contradicting address instead of refusing
    leased: tuple[IPNetwork, ...]  # subnets of the lease; empty without a lease
    masquerade: tuple[Masquerade, ...]  # one per address, empty: no masquerade
    masquerade_backend: str  # "iptables", "nftables", or empty: the one that works
    vlan_filtering: bool  # of the bridge
    members: tuple[vlans.Member, ...]  # VLANs of the container's port; empty: as the bridge makes it
    gateway_vlan: int  # VLAN that needs a gateway link, 0: none
    keep_default_vlan: bool  # the port also stays in the bridge's own default VLAN
    mac_check: bool  # key `macspoofchk`
    spoof_check: bool  # key `spoofchk`

    @property
    def gateway_link(self) -> str:
        """The link that carries the gateway addresses: the bridge itself, or the gateway link of the VLAN."""
        return vlans.gateway_name(self.bridge, self.gateway_vlan) if self.gateway_vlan else self.bridge

    def port(self, name: str, mac: str) -> Port:
        """Return the container's port with the MAC and the addresses it may send from."""
        return Port(name, mac, tuple(entry.address.ip for entry in self.addresses))

    @property
    def families(self) -> tuple[int, ...]:
        """The address families in use, 4 and 6."""
        return tuple(sorted({entry.address.version for entry in self.addresses}))


def attachment(
    settings: Settings, owner: AttachmentID, lease: Lease | None, given: Result, *, sandbox: str
) -> Attachment:
    """Return the plan for `given`: IPAM's answer (ADD) or the earlier result (CHECK). `sandbox` is CNI_NETNS."""
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
    """Raise CniError 11 when the lease changed between IPAM's reading of it and ours."""
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
    """Return the address with the container's end as its interface.

    A bridge that is the gateway has the subnet's first address by default.
    """
    gateway = entry.gateway
    if gateway is None and settings.is_gateway:
        gateway = entry.address.network.network_address + 1
    return replace(entry, gateway=gateway, interface=CONTAINER)


def _routes(settings: Settings, addresses: tuple[Address, ...], routes: tuple[Route, ...]) -> tuple[Route, ...]:
    """Return the routes, and a default route for each family that has none with a gateway."""
    if not settings.is_default_gateway:
        return routes
    # A default route with a gateway, from IPAM or the configuration, wins over the bridge.
    explicit = {route.dst.version for route in routes if route.gw is not None and route.dst.network.prefixlen == 0}
    defaults: dict[int, Route] = {}
    for entry in addresses:
        version = entry.address.version
        if version not in explicit and version not in defaults:
            defaults[version] = Route(dst=ANYWHERE[version], gw=entry.gateway)
    kept = tuple(route for route in routes if not _restates(route, defaults))
    return kept + tuple(defaults.values())


def _restates(route: Route, defaults: dict[int, Route]) -> bool:
    """Return whether a default route without gateway says the same as the one that is about to be added."""
    return route == Route(dst=ANYWHERE[route.dst.version]) and route.dst.version in defaults


def _gateways(settings: Settings, addresses: tuple[Address, ...]) -> tuple[IPInterface, ...]:
    """Return the addresses of the bridge itself, IPv4 before IPv6, each once."""
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
    """Return the masquerade of each address.

    None towards its own subnet and, with a lease, towards the overlay's networks.
    """
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
    """Return the own subnet and those `networks` that are of its family, without overlaps.

    A set of nftables refuses overlaps.
    """
    if isinstance(own, IPv4Network):
        return tuple(collapse_addresses([own, *(net for net in networks if isinstance(net, IPv4Network))]))
    return tuple(collapse_addresses([own, *(net for net in networks if isinstance(net, IPv6Network))]))
