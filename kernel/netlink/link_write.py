"""Writes the messages that create, change and delete links, and their VLANs (linux/if_link.h, linux/if_bridge.h).

A value that does not fit, such as an invalid name, MAC or alias, is a ValueError.
"""

import re
from collections.abc import Sequence

from kernel.netlink import requests
from kernel.netlink.link_read import (
    BODY,
    IFF_ALLMULTI,
    IFF_NOARP,
    IFF_PROMISC,
    IFF_UP,
    IFLA_ADDRESS,
    IFLA_AF_SPEC,
    IFLA_BR_VLAN_FILTERING,
    IFLA_BRIDGE_VLAN_INFO,
    IFLA_BRPORT_ISOLATED,
    IFLA_BRPORT_MODE,
    IFLA_IFALIAS,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_INFO_SLAVE_DATA,
    IFLA_INFO_SLAVE_KIND,
    IFLA_LINKINFO,
    IFLA_MASTER,
    IFLA_MTU,
    IFLA_TXQLEN,
    IFLA_VXLAN_ID,
    IFLA_VXLAN_LEARNING,
    IFLA_VXLAN_LINK,
    IFLA_VXLAN_LOCAL,
    IFLA_VXLAN_LOCAL6,
    IFLA_VXLAN_PORT,
    PORT,
    VLAN_INFO,
    VLAN_PVID,
    VLAN_UNTAGGED,
    checked_name,
    new_name,
)
from kernel.netlink.message import CREATE, EXCL, attribute, message, number, octet, pack, text
from kernel.netlink.route import AF_BRIDGE

RTM_NEWLINK, RTM_DELLINK, RTM_SETLINK = 16, 17, 19
IFLA_NET_NS_FD = 28
VETH_INFO_PEER = 1
IFLA_VXLAN_TTL, IFLA_VXLAN_TOS, IFLA_VXLAN_PROXY, IFLA_VXLAN_RSC = 5, 6, 11, 12
IFLA_VXLAN_L2MISS, IFLA_VXLAN_L3MISS = 13, 14
IFLA_VXLAN_UDP_ZERO_CSUM6_TX, IFLA_VXLAN_UDP_ZERO_CSUM6_RX = 19, 20

VIDS = range(1, 4095)

ALIAS_BYTES = 255  # IFALIASZ - 1
MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")
NO_LINK = BODY.pack(0, 0, 0, 0, 0)


def packed_mac(mac: str) -> bytes:
    """Return the six bytes of a MAC; ValueError for another text."""
    if not MAC.fullmatch(mac):
        raise ValueError(f'"{mac}" is no MAC address: six hexadecimal bytes joined by colons')
    return bytes.fromhex(mac.replace(":", ""))


def add_bridge(request: requests.AddBridge) -> bytearray:
    """Write a bridge with its own size and MAC, where they are given."""
    data = octet(IFLA_BR_VLAN_FILTERING, 1) if request.vlan_filtering else b""
    return _new(request.name, _sized(request.mtu), _addressed(request.mac), _info("bridge", data), up=request.up)


def add_veth(request: requests.AddVeth) -> bytearray:
    """Write both ends of a pair; the far one is a link message of its own within the near one's."""
    peer = [text(IFLA_IFNAME, new_name(request.peer)), _sized(request.mtu), _addressed(request.peer_mac)]
    if request.peer_namespace is not None:
        peer.append(number(IFLA_NET_NS_FD, request.peer_namespace.fd))
    pair = _info("veth", attribute(VETH_INFO_PEER, NO_LINK + b"".join(peer)))
    master = number(IFLA_MASTER, request.master) if request.master else b""
    return _new(request.name, _sized(request.mtu), master, pair, up=request.up)


def add_vxlan(request: requests.AddVxlan) -> bytearray:
    """Write flannel's kind of vxlan device: what would have a default of its own is written out."""
    local = IFLA_VXLAN_LOCAL if request.local.version == 4 else IFLA_VXLAN_LOCAL6
    device = [
        number(IFLA_VXLAN_ID, request.vni),
        number(IFLA_VXLAN_LINK, request.parent),
        attribute(local, request.local.packed),
        octet(IFLA_VXLAN_TTL, 0),
        octet(IFLA_VXLAN_TOS, 0),
        octet(IFLA_VXLAN_LEARNING, request.learning),
        octet(IFLA_VXLAN_PROXY, 0),
        octet(IFLA_VXLAN_RSC, 0),
        octet(IFLA_VXLAN_L2MISS, 0),
        octet(IFLA_VXLAN_L3MISS, 0),
        octet(IFLA_VXLAN_UDP_ZERO_CSUM6_TX, 0),
        octet(IFLA_VXLAN_UDP_ZERO_CSUM6_RX, 0),
        attribute(IFLA_VXLAN_PORT, pack(PORT, request.port)) if request.port else b"",
    ]
    queue, info = number(IFLA_TXQLEN, 0), _info("vxlan", b"".join(device))
    return _new(request.name, queue, _sized(request.mtu), _addressed(request.mac), info)


def add_wireguard(request: requests.AddWireguard) -> bytearray:
    """Write a WireGuard device; its keys and peers are not netlink's."""
    return _new(request.name, _info("wireguard"))


def add_ifb(request: requests.AddIfb) -> bytearray:
    """Write an intermediate functional block."""
    return _new(request.name, number(IFLA_TXQLEN, 0), _sized(request.mtu), _info("ifb"), up=True)


def set_link(request: requests.SetLink) -> list[bytearray]:
    """Write changes; port properties go in a second message when the link joins its bridge in the first.

    The kernel looks for the bridge before it applies the message (rtnl_newlink), so one message would be refused.
    """
    index, selector = _selector(request.link)
    flags, mask = _flags(request)
    port = _port(request)
    changes = [_sized(request.mtu), _addressed(request.mac)]
    if request.alias is not None:
        changes.append(text(IFLA_IFALIAS, _alias(request.alias)))
    if request.queue is not None:
        changes.append(number(IFLA_TXQLEN, request.queue))
    if request.vlan_filtering is not None:
        changes.append(_info("bridge", octet(IFLA_BR_VLAN_FILTERING, request.vlan_filtering)))
    if request.master is not None:
        changes.append(number(IFLA_MASTER, request.master))
    joins = request.master is not None and bool(port)
    first = message(RTM_NEWLINK, 0, _body(index, flags, mask), selector, *changes, b"" if joins else port)
    return [first, message(RTM_NEWLINK, 0, _body(index), selector, port)] if joins else [first]


def delete_link(request: requests.DeleteLink) -> bytearray:
    """Name the link that is to go."""
    index, selector = _selector(request.link)
    return message(RTM_DELLINK, 0, _body(index), selector)


def add_vlans(request: requests.AddVlans) -> bytearray:
    """Write the VLANs a port joins."""
    members = [
        ((VLAN_PVID if vlan.pvid else 0) | (VLAN_UNTAGGED if vlan.untagged else 0), vlan.vid) for vlan in request.vlans
    ]
    return _membership(RTM_SETLINK, request.link, members)


def delete_vlans(request: requests.DeleteVlans) -> bytearray:
    """Write the VLANs a port leaves."""
    return _membership(RTM_DELLINK, request.link, [(0, vid) for vid in request.vids])


def _new(name: str, *attributes: bytes, up: bool = False) -> bytearray:
    flags = IFF_UP if up else 0
    named = text(IFLA_IFNAME, new_name(name))
    return message(RTM_NEWLINK, CREATE | EXCL, _body(0, flags, flags), named, *attributes)


def _body(index: int, flags: int = 0, mask: int = 0, family: int = 0) -> bytes:
    return pack(BODY, family, 0, index, flags, mask)


def _selector(link: int | str) -> tuple[int, bytes]:
    """Return the index and the attribute that name one link."""
    return (link, b"") if isinstance(link, int) else (0, text(IFLA_IFNAME, checked_name(link)))


def _sized(mtu: int) -> bytes:
    return number(IFLA_MTU, mtu) if mtu else b""


def _addressed(mac: str) -> bytes:
    return attribute(IFLA_ADDRESS, packed_mac(mac)) if mac else b""


def _info(kind: str, data: bytes = b"") -> bytes:
    inner = attribute(IFLA_INFO_DATA, data) if data else b""
    return attribute(IFLA_LINKINFO, text(IFLA_INFO_KIND, kind) + inner)


def _alias(alias: str) -> str:
    if len(alias.encode()) > ALIAS_BYTES or "\0" in alias:
        raise ValueError(f'"{alias}" is no link alias: at most {ALIAS_BYTES} bytes, none of them null')
    return alias


def _flags(request: requests.SetLink) -> tuple[int, int]:
    """Return the flags to set, and which to touch at all: those that are neither on nor off are left alone."""
    wanted = (
        *((IFF_UP, request.up), (IFF_PROMISC, request.promiscuous), (IFF_ALLMULTI, request.all_multicast)),
        (IFF_NOARP, None if request.arp is None else not request.arp),
    )
    given = [(flag, on) for flag, on in wanted if on is not None]
    return sum(flag for flag, on in given if on), sum(flag for flag, _ in given)


def _port(request: requests.SetLink) -> bytes:
    wanted = ((IFLA_BRPORT_MODE, request.hairpin), (IFLA_BRPORT_ISOLATED, request.isolated))
    port = b"".join(octet(kind, value) for kind, value in wanted if value is not None)
    if not port:
        return b""
    return attribute(IFLA_LINKINFO, text(IFLA_INFO_SLAVE_KIND, "bridge") + attribute(IFLA_INFO_SLAVE_DATA, port))


def _membership(kind: int, link: int, members: Sequence[tuple[int, int]]) -> bytearray:
    """Write VLANs of a port as (flags, id); the kernel's own check would let 0 pass."""
    if wrong := [vid for _, vid in members if vid not in VIDS]:
        raise ValueError(f"{wrong[0]} is no VLAN: an id lies between {VIDS[0]} and {VIDS[-1]}")
    infos = b"".join(attribute(IFLA_BRIDGE_VLAN_INFO, VLAN_INFO.pack(*member)) for member in members)
    return message(kind, 0, _body(link, family=AF_BRIDGE), attribute(IFLA_AF_SPEC, infos))
