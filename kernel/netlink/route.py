"""Routes, neighbours and forwarding entries, to and from netlink messages (linux/rtnetlink.h, linux/neighbour.h).

A host with thousands of peers has thousands of each, so they are written and read by hand. A value that does not fit is
a ValueError; an answer that cannot be read raises any exception, which kernel.netlink.handle translates.
"""

import struct
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from socket import AF_INET, AF_INET6, AF_UNSPEC

from kernel.netlink.message import (
    APPEND,
    CREATE,
    EXCL,
    HEADER,
    NLM_F_DUMP,
    REPLACE,
    U32,
    attribute,
    attributes,
    message,
    number,
    pack,
)
from kernel.netlink.objects import FdbEntry, Neighbour, NextHop, Route
from kernel.netlink.requests import AddFdb, AddNeighbour, AddRoute, DeleteFdb, DeleteNeighbour, DeleteRoute
from system.ip import IPAddress, IPInterface, IPNetwork

RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
AF_BRIDGE = 7

ROUTE = struct.Struct("=8BI")  # struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
NEIGHBOUR = struct.Struct("=B3xiHBB")  # struct ndmsg: family, ifindex, state, flags, type
HOP = struct.Struct("=HBBi")  # struct rtnexthop: length, flags, hops, ifindex

RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_METRICS, RTA_MULTIPATH, RTA_TABLE = (
    1,
    4,
    5,
    6,
    7,
    8,
    9,
    15,
)
RTAX_MTU, RTAX_ADVMSS = 2, 8
RTN_UNICAST, RTN_BLACKHOLE = 1, 6
RTNH_F_ONLINK = 4
RTM_F_CLONED = 0x200
"""A cache entry, no route of anybody's."""
SCOPE_UNIVERSE, SCOPE_LINK, SCOPE_NOWHERE = 0, 253, 255
ROUTE_KINDS = {1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast", 6: "blackhole"}
ROUTE_KINDS |= {7: "unreachable", 8: "prohibit", 9: "throw", 10: "nat", 11: "xresolve"}

NDA_DST, NDA_LLADDR, NDA_IFINDEX = 1, 2, 8
NUD_PERMANENT = 0x80
NTF_SELF = 0x2


def add_route(request: AddRoute) -> bytearray:
    """Choose the flags: without EXCL and REPLACE a second route to the prefix is accepted (docs/reference/cni.md 8.15).

    IPv6 merges it into a multipath route, which wants APPEND; IPv4 puts the newest first, as the reference plugins do.
    """
    six = request.dst.version == 6
    manner = REPLACE if request.replace else ((APPEND if six else 0) if request.append else EXCL)
    scope = SCOPE_LINK if request.gateway is None and not six and not request.blackhole else SCOPE_UNIVERSE
    head = _route_head(request, request.protocol, scope if request.scope is None else request.scope)
    more = b"" if request.source is None else attribute(RTA_PREFSRC, octets(request.source))
    metrics = b"".join(number(kind, value) for kind, value in _metrics(request) if value)
    more += attribute(RTA_METRICS, metrics) if metrics else b""
    flags = RTNH_F_ONLINK if request.onlink else 0
    return message(RTM_NEWROUTE, CREATE | manner, pack(ROUTE, *head, flags), _way(request), more)


def delete_route(request: DeleteRoute) -> bytearray:
    """Name a route by what is given; scope nowhere agrees with any."""
    head = _route_head(request, 0, SCOPE_NOWHERE)
    return message(RTM_DELROUTE, 0, pack(ROUTE, *head, 0), _way(request))


def add_neighbour(request: AddNeighbour, mac: bytes) -> bytearray:
    """Write a permanent neighbour; `mac` is the checked one of the request."""
    body = pack(NEIGHBOUR, family_of(request.address), request.link, NUD_PERMANENT, 0, RTN_UNICAST)
    where = attribute(NDA_DST, octets(request.address))
    return message(RTM_NEWNEIGH, CREATE | REPLACE, body, where, attribute(NDA_LLADDR, mac))


def delete_neighbour(request: DeleteNeighbour) -> bytearray:
    """Name a neighbour by link and address."""
    body = pack(NEIGHBOUR, family_of(request.address), request.link, 0, 0, 0)
    return message(RTM_DELNEIGH, 0, body, attribute(NDA_DST, octets(request.address)))


def add_fdb(request: AddFdb, mac: bytes) -> bytearray:
    """Write a permanent entry of a vxlan device; `mac` is the checked one of the request."""
    return message(RTM_NEWNEIGH, CREATE | REPLACE, *_fdb(request, mac))


def delete_fdb(request: DeleteFdb, mac: bytes) -> bytearray:
    """Name an entry of a vxlan device."""
    return message(RTM_DELNEIGH, 0, *_fdb(request, mac))


def dump_routes(family: int, table: int, link: int) -> bytearray:
    """Ask for the routes of one family and table, or (link not 0) those leaving by one link."""
    by = number(RTA_OIF, link) if link else b""
    return message(RTM_GETROUTE, NLM_F_DUMP, _question(family), number(RTA_TABLE, table), by)


def get_route(address: IPAddress) -> bytearray:
    """Ask which way a packet to `address` would go."""
    body = _question(family_of(address), address.max_prefixlen)
    return message(RTM_GETROUTE, 0, body, attribute(RTA_DST, octets(address)))


def dump_neighbours(link: int) -> bytearray:
    """Ask for the neighbour entries of one link."""
    return message(RTM_GETNEIGH, NLM_F_DUMP, pack(NEIGHBOUR, AF_UNSPEC, 0, 0, 0, 0), number(NDA_IFINDEX, link))


def dump_fdb(link: int) -> bytearray:
    """Ask for the forwarding entries of one link."""
    return message(RTM_GETNEIGH, NLM_F_DUMP, pack(NEIGHBOUR, AF_BRIDGE, link, 0, 0, 0))


def route(data: bytes) -> Route | None:
    """Read RTM_NEWROUTE, whether it is configured or the answer to a look-up; None for another family."""
    family, length, _, _, table, protocol, scope, kind, flags = ROUTE.unpack_from(data, HEADER.size)
    if family not in {AF_INET, AF_INET6}:
        return None
    found = attributes(data, HEADER.size + ROUTE.size)
    metrics = attributes(found[RTA_METRICS]) if RTA_METRICS in found else {}
    return Route(
        dst=_network(family, found.get(RTA_DST), length),
        gateway=_address(found.get(RTA_GATEWAY)),
        link=_value(found.get(RTA_OIF)),
        onlink=bool(flags & RTNH_F_ONLINK),
        priority=_value(found.get(RTA_PRIORITY)),
        table=_value(found.get(RTA_TABLE)) or table,
        scope=scope,
        protocol=protocol,
        kind=ROUTE_KINDS.get(kind, str(kind)),
        source=_address(found.get(RTA_PREFSRC)),
        mtu=_value(metrics.get(RTAX_MTU)),
        advmss=_value(metrics.get(RTAX_ADVMSS)),
        hops=_hops(found[RTA_MULTIPATH]) if RTA_MULTIPATH in found else (),
    )


def configured_route(data: bytes) -> Route | None:
    """Read RTM_NEWROUTE from a dump, leaving out what the kernel only remembers (IPv6 clones)."""
    *_, flags = ROUTE.unpack_from(data, HEADER.size)
    return None if flags & RTM_F_CLONED else route(data)


def neighbour(data: bytes) -> Neighbour | None:
    """Read RTM_NEWNEIGH of an address family; None for another one, and for an entry without an address."""
    family, link, state, _, _ = NEIGHBOUR.unpack_from(data, HEADER.size)
    found = attributes(data, HEADER.size + NEIGHBOUR.size)
    where = _address(found.get(NDA_DST))
    if family not in {AF_INET, AF_INET6} or where is None:
        return None
    return Neighbour(link, where, found.get(NDA_LLADDR, b"").hex(":"), bool(state & NUD_PERMANENT))


def fdb(data: bytes) -> FdbEntry | None:
    """Read RTM_NEWNEIGH of a bridge port or vxlan device; None for an address family."""
    family, link, state, _, _ = NEIGHBOUR.unpack_from(data, HEADER.size)
    if family != AF_BRIDGE:
        return None
    found = attributes(data, HEADER.size + NEIGHBOUR.size)
    mac = found.get(NDA_LLADDR, b"").hex(":")
    return FdbEntry(link, mac, _address(found.get(NDA_DST)), bool(state & NUD_PERMANENT))


def _question(family: int, length: int = 0) -> bytes:
    return pack(ROUTE, family, length, 0, 0, 0, 0, 0, 0, 0)


def _route_head(request: AddRoute | DeleteRoute, protocol: int, scope: int) -> tuple[int, ...]:
    table = request.table if request.table < 256 else 0
    kind = RTN_BLACKHOLE if request.blackhole else RTN_UNICAST
    return (family_of(request.dst), request.dst.prefixlen, 0, 0, table, protocol, scope, kind)


def _metrics(request: AddRoute) -> tuple[tuple[int, int], ...]:
    return (RTAX_MTU, request.mtu), (RTAX_ADVMSS, request.advmss)


def _way(request: AddRoute | DeleteRoute) -> bytes:
    """Return which route: table, destination, gateway, link and priority, as far as they are given."""
    parts = [number(RTA_TABLE, request.table)]
    if request.dst.prefixlen:
        parts.append(attribute(RTA_DST, request.dst.network_address.packed))
    if request.gateway is not None:
        if request.gateway.version != request.dst.version:
            raise ValueError(f"gateway {request.gateway} is not of the family of {request.dst}")
        parts.append(attribute(RTA_GATEWAY, octets(request.gateway)))
    if request.link:
        parts.append(number(RTA_OIF, request.link))
    if request.priority:
        parts.append(number(RTA_PRIORITY, request.priority))
    return b"".join(parts)


def _fdb(request: AddFdb | DeleteFdb, mac: bytes) -> tuple[bytes, bytes, bytes]:
    body = pack(NEIGHBOUR, AF_BRIDGE, request.link, NUD_PERMANENT, NTF_SELF, 0)
    return body, attribute(NDA_LLADDR, mac), attribute(NDA_DST, octets(request.dst))


def octets(address: IPAddress) -> bytes:
    """Return an address as netlink carries it; ValueError for one with a zone."""
    if isinstance(address, IPv6Address) and address.scope_id:
        raise ValueError(f"{address} has a zone, which does not fit a netlink message: the link says it")
    return address.packed


def family_of(address: IPAddress | IPInterface | IPNetwork) -> int:
    """Return AF_INET or AF_INET6."""
    return AF_INET if address.version == 4 else AF_INET6


def _value(data: bytes | None) -> int:
    return 0 if data is None else int(U32.unpack(data)[0])


def _address(data: bytes | None) -> IPAddress | None:
    if data is None:
        return None
    return IPv4Address(data) if len(data) == 4 else IPv6Address(data)


def _network(family: int, data: bytes | None, length: int) -> IPNetwork:
    """Read a destination; the default route's is not given."""
    return IPv4Network((data or 0, length)) if family == AF_INET else IPv6Network((data or 0, length))


def _hops(data: bytes) -> tuple[NextHop, ...]:
    found, offset = [], 0
    while offset < len(data):
        length, flags, hops, link = HOP.unpack_from(data, offset)
        if length < HOP.size:
            raise ValueError("next hop cut short")
        inner = attributes(data[offset + HOP.size : offset + length])
        gateway = _address(inner.get(RTA_GATEWAY))
        found.append(NextHop(gateway=gateway, link=link, onlink=bool(flags & RTNH_F_ONLINK), weight=hops + 1))
        offset += (length + 3) & ~3
    return tuple(found)
