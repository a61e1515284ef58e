"""Addresses of links, to and from netlink messages (linux/if_addr.h).

A value that does not fit is a ValueError; an answer that cannot be read raises any exception, which
kernel.netlink.handle translates.
"""

import struct
from ipaddress import IPv4Interface, IPv6Interface
from socket import AF_INET, AF_INET6, AF_UNSPEC

from kernel.netlink.message import CREATE, EXCL, HEADER, NLM_F_DUMP, REPLACE, U32, attribute, attributes, message, pack
from kernel.netlink.objects import Address
from kernel.netlink.requests import AddAddress, DeleteAddress
from kernel.netlink.route import family_of, octets

RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
BODY = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, index
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS = 1, 2, 4, 8
IFA_F_NODAD = 0x2
FAMILIES = {0: AF_UNSPEC, 4: AF_INET, 6: AF_INET6}


def add(request: AddAddress) -> bytearray:
    """Write an address; one of IPv4 that leaves room for it gets its broadcast address."""
    manner = CREATE | (REPLACE if request.replace else EXCL)
    body = _body(request, IFA_F_NODAD if request.nodad else 0, request.scope)
    broadcast = b""
    if isinstance(request.address, IPv4Interface) and request.address.network.prefixlen < 31:
        broadcast = attribute(IFA_BROADCAST, request.address.network.broadcast_address.packed)
    return message(RTM_NEWADDR, manner, body, _ends(request), broadcast)


def delete(request: DeleteAddress) -> bytearray:
    """Name an address by link and prefix length."""
    return message(RTM_DELADDR, 0, _body(request, 0, 0), _ends(request))


def dump(link: int, version: int = 0) -> bytearray:
    """Ask for all addresses, or (link not 0) those of one link, or (version not 0) of one family."""
    return message(RTM_GETADDR, NLM_F_DUMP, pack(BODY, FAMILIES[version], 0, 0, 0, link))


def read(data: bytes) -> Address | None:
    """Read RTM_NEWADDR; of a point-to-point address the near end counts (IFA_LOCAL). None for another family."""
    family, length, flags, scope, link = BODY.unpack_from(data, HEADER.size)
    if family not in {AF_INET, AF_INET6}:
        return None
    told = attributes(data, HEADER.size + BODY.size)
    near = told.get(IFA_LOCAL) or told[IFA_ADDRESS]
    kind = IPv4Interface if family == AF_INET else IPv6Interface
    if IFA_FLAGS in told:
        (flags,) = U32.unpack(told[IFA_FLAGS])
    return Address(link=link, address=kind((near, length)), scope=scope, flags=flags)


def _body(request: AddAddress | DeleteAddress, flags: int, scope: int) -> bytes:
    return pack(BODY, family_of(request.address), request.address.network.prefixlen, flags, scope, request.link)


def _ends(request: AddAddress | DeleteAddress) -> bytes:
    own = octets(request.address.ip)
    return attribute(IFA_LOCAL, own) + attribute(IFA_ADDRESS, own)
