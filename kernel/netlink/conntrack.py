"""Deletes tracked connections, so that a flow that continues is translated again, by the present rules.

It writes ctnetlink (linux/netfilter/nfnetlink_conntrack.h) itself: two messages, to list and to delete.
"""

import errno
import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import AF_INET, AF_INET6

from kernel.errors import KernelError
from kernel.netlink.message import ATTRIBUTE, HEADER
from kernel.netlink.transport import Transport
from kernel.netns import Namespace

NETLINK_NETFILTER = 12
CTNETLINK = 1 << 8  # NFNL_SUBSYS_CTNETLINK
GET, DELETE = CTNETLINK | 1, CTNETLINK | 2
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
NLA_F_NESTED = 0x8000
TYPE_MASK = 0x3FFF

CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_ZONE = 1, 2, 18
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_SRC: dict[int, int] = {AF_INET: 1, AF_INET6: 3}
CTA_IP_DST: dict[int, int] = {AF_INET: 2, AF_INET6: 4}
CTA_PROTO_NUM, CTA_PROTO_DST_PORT = 1, 3

FAMILIES: dict[int, int] = {4: AF_INET, 6: AF_INET6}
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
NFGENMSG = struct.Struct("=BBH")  # family, version, resource id (big endian, 0)
PORT = struct.Struct("!H")


@dataclass(frozen=True, slots=True)
class FlowFilter:
    """Flows that were first sent to this port, on this address or (None) any; and answered from `server` or (None) anywhere.

    Behind a translation the address that answers is another than the one it was sent to.
    """

    port: int
    """The destination port of the first packet."""
    address: IPv4Address | IPv6Address | None = None
    """The destination address of the first packet; None for any."""
    server: IPv4Address | IPv6Address | None = None
    """The address that answers, which a translation makes another one; None for any."""


def delete_flows(family: int, protocol: str, aims: Collection[FlowFilter], namespace: Namespace | None = None) -> int:
    """Delete the entries of IP version `family` (4, 6) and `protocol` that one of `aims` describes; return how many.

    An entry that is gone by then is none. Raises KernelError; `unsupported` where the kernel tracks no connections.
    """
    if not aims:
        return 0
    wanted: dict[int, list[FlowFilter]] = {}
    for aim in aims:
        wanted.setdefault(aim.port, []).append(aim)
    sock = Transport(namespace, NETLINK_NETFILTER)
    try:
        doomed = [
            _message(DELETE, 0, FAMILIES[family], key)
            for tuples, key in _entries(sock, FAMILIES[family])
            if _is_aimed(tuples, FAMILIES[family], PROTOCOLS[protocol], wanted)
        ]
        refusals = sock.send(doomed)
    except KernelError:
        raise
    except OSError as error:
        raise KernelError(error.errno or errno.EIO, "forgetting tracked connections") from error
    finally:
        sock.close()
    for refusal in refusals.values():
        if refusal.number != errno.ENOENT:
            raise KernelError(refusal.number, "forgetting a tracked connection", refusal.reason)
    return len(doomed) - len(refusals)


def _entries(sock: Transport, family: int) -> Iterator[tuple[dict[int, bytes], bytes]]:
    """Yield what the kernel tells of every entry, and the attributes by which it finds the entry again."""
    dump = sock.dump(_message(GET, NLM_F_DUMP, family, b""))
    if dump.refusal is not None:
        raise KernelError(dump.refusal.number, "reading tracked connections", dump.refusal.reason)
    for answer in dump.answers:
        found = dict(_attributes(answer.data, HEADER.size + NFGENMSG.size))
        if CTA_TUPLE_ORIG in found:
            key = _attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, found[CTA_TUPLE_ORIG])
            zone = _attribute(CTA_ZONE, found[CTA_ZONE]) if CTA_ZONE in found else b""
            yield found, key + zone


def _is_aimed(told: dict[int, bytes], family: int, protocol: int, wanted: Mapping[int, Collection[FlowFilter]]) -> bool:
    parts = dict(_attributes(told[CTA_TUPLE_ORIG], 0))
    transport = dict(_attributes(parts.get(CTA_TUPLE_PROTO, b""), 0))
    if transport.get(CTA_PROTO_NUM) != bytes([protocol]) or CTA_PROTO_DST_PORT not in transport:
        return False
    (port,) = PORT.unpack(transport[CTA_PROTO_DST_PORT])
    aims = wanted.get(port, ())
    return bool(aims) and any(
        aim.address in (None, _address(told[CTA_TUPLE_ORIG], CTA_IP_DST[family]))
        and aim.server in (None, _address(told.get(CTA_TUPLE_REPLY, b""), CTA_IP_SRC[family]))
        for aim in aims
    )


def _address(tuple_: bytes, kind: int) -> IPv4Address | IPv6Address | None:
    told = dict(_attributes(dict(_attributes(tuple_, 0)).get(CTA_TUPLE_IP, b""), 0)).get(kind)
    return None if told is None else ip_address(told)


def _message(kind: int, flags: int, family: int, attributes: bytes) -> bytearray:
    body = NFGENMSG.pack(family, 0, 0) + attributes
    return bytearray(HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | flags, 0, 0) + body)


def _attribute(kind: int, value: bytes) -> bytes:
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def _attributes(data: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    while offset + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        if length < ATTRIBUTE.size:
            raise OSError(errno.EBADMSG, "netlink attribute cut short")
        yield kind & TYPE_MASK, data[offset + ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
