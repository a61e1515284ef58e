"""The difference between the kernel state a backend wants and the one there is, as netlink requests.

On our own device everything is compared: routes through it, neighbours and FDB entries on it, its addresses inside the
network (docs/reference/flannel.md 5.1). On other links only routes by a gateway into the network are, and only where a
backend sets such routes. Compared is what the kernel lists; whether packets arrive is not known here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Address

from kernel.netlink import requests
from kernel.netlink.objects import Address, FdbEntry, Link, Neighbour, Route
from overlay.backends import GatewayRoutes, L3Device, VxlanDevice, VxlanIdentity
from overlay.backends.vxlan import DEFAULT_PORT
from system.ip import IPAddress, IPInterface, IPNetwork

HOST = 32
"""Prefix length of the IPv4 address that our device has."""


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What the kernel lists on one device."""

    addresses: Sequence[Address]
    """The addresses of the device."""
    neighbours: Sequence[Neighbour]
    """Its neighbour entries (ARP, NDP)."""
    fdb: Sequence[FdbEntry]
    """Its forwarding entries."""
    routes: Sequence[Route]
    """The routes through it, of the main table."""


def compatible(device: VxlanIdentity, link: Link, parent: int) -> bool:
    """Return whether an existing link can stay: MTU, MAC and learning may differ (docs/reference/flannel.md 5.1)."""
    found = link.vxlan
    if link.kind != "vxlan" or found is None or found.vni != device.vni:
        return False
    if found.parent and found.parent != parent:
        return False
    if found.local is not None and found.local != device.local:
        return False
    return not found.port or found.port == (device.port or DEFAULT_PORT)


def link_requests(tunnel: VxlanDevice, link: Link | None, parent: int) -> tuple[requests.Request, ...]:
    """Return the requests after which the device exists, is compatible, has its MAC and is up.

    ARP is off: each address the device sends to has a permanent entry, and no packet from the tunnel can change one.
    """
    if link is None:
        return _create(tunnel, parent)
    if not compatible(tunnel.device, link, parent):
        return (requests.DeleteLink(link.index), *_create(tunnel, parent))
    needed: list[requests.Request] = []
    if link.mac != tunnel.mac:
        needed.append(requests.SetLink(link.index, mac=tunnel.mac))
    # a smaller MTU than wanted may be a person's choice: it stays, unless the config fixes the MTU or we set it before
    # the underlay grew
    exact = tunnel.mtu_fixed or link.mtu == tunnel.outgrown
    if link.mtu > tunnel.mtu or (exact and link.mtu != tunnel.mtu):
        needed.append(requests.SetLink(link.index, mtu=tunnel.mtu))
    if link.arp or not link.up:
        needed.append(requests.SetLink(link.index, up=True, arp=False))
    return tuple(needed)


def entry_requests(tunnel: VxlanDevice, link: int, found: DeviceState) -> tuple[requests.Request, ...]:
    """Return the requests for the device's entries: deletions, then address, neighbours, FDB, and the routes last.

    A route that leads to an entry not yet there would lose packets.
    """
    return (
        *_stale(tunnel, link, found),
        *_address(tunnel, link, found.addresses),
        *_neighbours(tunnel, link, found.neighbours),
        *_fdb(tunnel, link, found.fdb),
        *_routes(tunnel, link, found.routes),
    )


def incremental_requests(before: VxlanDevice, after: VxlanDevice, link: int) -> tuple[requests.Request, ...] | None:
    """Return the requests from one tunnel, as the kernel has it, to another; None when more than its peers differs."""
    if replace(before, neighbours=after.neighbours, fdb=after.fdb, routes=after.routes) != after:
        return None
    # the new entry of an address replaces the old one: deleting it first would leave a gap
    macs = {address for address, _ in after.neighbours - before.neighbours}
    return (
        *(requests.DeleteRoute(dst, gateway=gateway, link=link) for dst, gateway in before.routes - after.routes),
        *(
            requests.DeleteNeighbour(link, address)
            for address, _ in before.neighbours - after.neighbours
            if address not in macs
        ),
        *(requests.DeleteFdb(link, mac, dst) for mac, dst in before.fdb - after.fdb),
        *(requests.AddNeighbour(link, address, mac) for address, mac in after.neighbours - before.neighbours),
        *(requests.AddFdb(link, mac, dst) for mac, dst in after.fdb - before.fdb),
        *(_peer_route(dst, gateway, link) for dst, gateway in after.routes - before.routes),
    )


def pipe_requests(pipe: L3Device, link: Link, found: DeviceState) -> tuple[requests.Request, ...]:
    """Return the requests for a layer 3 device: MTU, its addresses, up, and the routes of the networks through it."""
    there = {held.address for held in found.addresses}
    routed = {one.dst for one in found.routes if one.gateway is None and one.protocol == requests.PROTO_BOOT}
    return (
        *(requests.DeleteAddress(link.index, one) for one in sorted(there, key=str) if _surplus(one, pipe)),
        *((requests.SetLink(link.index, mtu=pipe.mtu),) if link.mtu != pipe.mtu else ()),
        *(requests.AddAddress(link.index, one, nodad=True) for one in pipe.addresses if one not in there),
        *(() if link.up else (requests.SetLink(link.index, up=True),)),
        *(requests.DeleteRoute(dst, link=link.index) for dst in sorted(routed - {*pipe.networks}, key=str)),
        *(requests.AddRoute(dst, link=link.index, replace=True) for dst in pipe.networks if dst not in routed),
    )


def _surplus(address: IPInterface, pipe: L3Device) -> bool:
    inside = any(address.version == net.version and address.ip in net for net in pipe.networks)
    alone = address.version == 4 and address.network.prefixlen == HOST  # an earlier range's
    return address not in pipe.addresses and (inside or alone)


def direct_requests(
    direct: GatewayRoutes, links: Mapping[str, int], found: Sequence[Route]
) -> tuple[requests.Request, ...]:
    """Return the requests for the routes by other hosts; `links` has the index of each link, `found` all routes."""
    wanted = {(dst, gateway, links[name]) for dst, gateway, name in direct.routes}
    there = {(one.dst, one.gateway, one.link): one for one in found if by_host(one, direct)}
    return (
        *(
            requests.DeleteRoute(one.dst, gateway=one.gateway, link=one.link, priority=one.priority)
            for key, one in there.items()
            if key not in wanted
        ),
        *(
            requests.AddRoute(dst, gateway=gateway, link=link, protocol=requests.PROTO_BOOT, replace=True)
            for dst, gateway, link in sorted(
                wanted - there.keys(), key=lambda one: (one[0].version, int(one[1]), one[0])
            )
        ),
    )


def by_host(route: Route, direct: GatewayRoutes) -> bool:
    """Return whether a route is of the kind a backend sets: our protocol, by a gateway, to a part of the network."""
    if route.protocol != requests.PROTO_BOOT or route.gateway is None or route.onlink:
        return False
    return any(
        route.dst.prefixlen > net.prefixlen and route.dst.version == net.version and route.dst.network_address in net
        for net in direct.networks
    )


def _create(tunnel: VxlanDevice, parent: int) -> tuple[requests.Request, ...]:
    vxlan = requests.AddVxlan(
        tunnel.device.name,
        tunnel.device.vni,
        parent,
        tunnel.device.local,
        port=tunnel.device.port,
        mtu=tunnel.mtu,
        mac=tunnel.mac,
        learning=tunnel.learning,
    )
    return (vxlan, requests.SetLink(tunnel.device.name, up=True, arp=False))


def _stale(tunnel: VxlanDevice, link: int, found: DeviceState) -> Iterable[requests.Request]:
    for route in found.routes:
        if _ours(route, tunnel) and (route.dst, route.gateway) not in tunnel.routes:
            yield requests.DeleteRoute(route.dst, gateway=route.gateway, link=link, priority=route.priority)
    for neighbour in found.neighbours:
        wanted = (neighbour.address, neighbour.mac) in tunnel.neighbours
        if neighbour.permanent and neighbour.address.version == tunnel.address.version and not wanted:
            yield requests.DeleteNeighbour(link, neighbour.address)
    for entry in found.fdb:
        if entry.permanent and entry.dst is not None and (entry.mac, entry.dst) not in tunnel.fdb:
            yield requests.DeleteFdb(link, entry.mac, entry.dst)
    for held in found.addresses:
        if _foreign(held, tunnel):
            yield requests.DeleteAddress(link, held.address)


def _address(tunnel: VxlanDevice, link: int, found: Sequence[Address]) -> Iterable[requests.Request]:
    if tunnel.address not in {held.address for held in found}:
        yield requests.AddAddress(link, tunnel.address, nodad=True)


def _neighbours(tunnel: VxlanDevice, link: int, found: Sequence[Neighbour]) -> Iterable[requests.Request]:
    there = {(one.address, one.mac) for one in found if one.permanent}
    for address, mac in sorted(tunnel.neighbours - there, key=lambda pair: int(pair[0])):
        yield requests.AddNeighbour(link, address, mac)


def _fdb(tunnel: VxlanDevice, link: int, found: Sequence[FdbEntry]) -> Iterable[requests.Request]:
    there = {(one.mac, one.dst) for one in found if one.permanent}
    for mac, dst in sorted(tunnel.fdb - there, key=lambda pair: (pair[0], int(pair[1]))):
        yield requests.AddFdb(link, mac, dst)


def _routes(tunnel: VxlanDevice, link: int, found: Sequence[Route]) -> Iterable[requests.Request]:
    there = {(one.dst, one.gateway) for one in found if _ours(one, tunnel) and one.onlink}
    for dst, gateway in sorted(tunnel.routes - there, key=lambda pair: int(pair[1])):
        yield _peer_route(dst, gateway, link)


def _peer_route(dst: IPNetwork, gateway: IPAddress, link: int) -> requests.AddRoute:
    return requests.AddRoute(dst, gateway=gateway, link=link, onlink=True, protocol=requests.PROTO_BOOT, replace=True)


def _ours(route: Route, tunnel: VxlanDevice) -> bool:
    return route.protocol == requests.PROTO_BOOT and route.dst.version == tunnel.address.version


def _foreign(held: Address, tunnel: VxlanDevice) -> bool:
    """Return whether an address must go: another one of the network, or any IPv6 one that is not link-local."""
    if held.address == tunnel.address or held.address.version != tunnel.address.version:
        return False
    if isinstance(held.address.ip, IPv6Address):
        return not held.address.ip.is_link_local
    return held.address.ip in tunnel.network or held.address.network.prefixlen == HOST  # the latter: an earlier range's
