"""Reads links from the kernel's messages, as linux/if_link.h lays them out.

Every ADD reads some. A general parser for the sixty attributes of a link takes 0.14 ms for a veth and 0.35 ms for a
bridge; these few lines read what Link has in a tenth of that.
"""

import re
import struct
from ipaddress import IPv4Address, IPv6Address
from socket import AF_INET6

from kernel.netlink.message import (
    HEADER,
    NLM_F_DUMP,
    U16,
    U32,
    Attributes,
    attribute_list,
    attributes,
    message,
    number,
    pack,
    text,
)
from kernel.netlink.objects import BridgeInfo, Link, VxlanInfo
from kernel.netlink.requests import Vlan
from kernel.netlink.route import AF_BRIDGE

IFF_UP, IFF_NOARP, IFF_PROMISC, IFF_ALLMULTI = 0x1, 0x80, 0x100, 0x200
ARPHRD_ETHER, ARPHRD_LOOPBACK = 1, 772  # linux/if_arp.h: the link types whose address is a MAC
BRIDGE_VLANS = 2  # RTEXT_FILTER_BRVLAN: each VLAN of a port as an entry of its own
SKIP_STATS = 8  # RTEXT_FILTER_SKIP_STATS: counters are half of every link message

NAME_BYTES = 15  # IFNAMSIZ - 1
FORBIDDEN = re.compile(r"[/:\s\0]")
RTM_GETLINK, RTM_GETNSID = 18, 90
NETNSA_NSID, NETNSA_FD = 1, 3
SIGNED = struct.Struct("=i")

BODY = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, changed flags
PORT = struct.Struct("!H")
VLAN_INFO = struct.Struct("=HH")  # struct bridge_vlan_info, linux/if_bridge.h: flags, id
VLAN_PVID, VLAN_UNTAGGED = 0x2, 0x4

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK = 1, 3, 4, 5
IFLA_MASTER, IFLA_TXQLEN, IFLA_OPERSTATE, IFLA_LINKINFO, IFLA_IFALIAS = 10, 13, 16, 18, 20
IFLA_AF_SPEC, IFLA_EXT_MASK, IFLA_PROMISCUITY, IFLA_LINK_NETNSID = 26, 29, 30, 37
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
IFLA_BRPORT_MODE, IFLA_BRPORT_ISOLATED = 4, 33
IFLA_BR_VLAN_FILTERING, IFLA_BR_VLAN_DEFAULT_PVID = 7, 39
IFLA_VXLAN_ID, IFLA_VXLAN_LINK, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LEARNING = 1, 3, 4, 7
IFLA_VXLAN_PORT, IFLA_VXLAN_LOCAL6 = 15, 17
IFLA_INET6_CONF = 2
IFLA_BRIDGE_VLAN_INFO = 2
ACCEPT_RA = slice(12, 16)
"""Where the fourth number of the array of settings is (DEVCONF_ACCEPT_RA, linux/ipv6.h)."""

WITHOUT_STATS = number(IFLA_EXT_MASK, SKIP_STATS)

OPERSTATES = ("unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up")
"""IF_OPER_, linux/if.h."""


def get(link: int | str) -> bytearray:
    """Ask for one link by index or name; ValueError for what cannot be either."""
    if isinstance(link, str):
        return _question(0, 0, text(IFLA_IFNAME, checked_name(link)))
    if not 0 < link < 2**31:
        raise ValueError(f"{link} is no link index")
    return _question(0, link, b"")


def get_space(descriptor: int) -> bytearray:
    """Ask for the number by which this namespace knows an open one (linux/net_namespace.h)."""
    return message(RTM_GETNSID, 0, bytes(4), number(NETNSA_FD, descriptor))


def read_space(data: bytes) -> int | None:
    """Read a whole RTM_NEWNSID message; None for a namespace that has no number here."""
    told = attributes(data, HEADER.size + 4)
    known: int = SIGNED.unpack(told[NETNSA_NSID])[0]
    return None if known < 0 else known


def dump() -> bytearray:
    """Ask for all links."""
    return _question(NLM_F_DUMP, 0, b"")


def dump_vlans() -> bytearray:
    """Ask for the VLANs of all bridge ports: the kernel has no question for one."""
    return message(RTM_GETLINK, NLM_F_DUMP, pack(BODY, AF_BRIDGE, 0, 0, 0, 0), number(IFLA_EXT_MASK, BRIDGE_VLANS))


def checked_name(text: str) -> str:
    """Return a link name the kernel would take, by its own rule (dev_valid_name); ValueError for another."""
    if not 0 < len(text.encode()) <= NAME_BYTES:
        raise ValueError(f'"{text}" is no link name: a name has 1 to {NAME_BYTES} bytes')
    if text in {".", ".."} or FORBIDDEN.search(text):
        raise ValueError(f'"{text}" is no link name: no "/", ":", blank, "." or ".."')
    return text


def new_name(text: str) -> str:
    """Return the name a new link is to have; ValueError also for one with a %, in whose place the kernel would put a number."""
    if "%" in checked_name(text):
        raise ValueError(f'"{text}" is no name for a new link: the kernel would put a number in place of the "%"')
    return text


def read(data: bytes) -> Link:
    """Read a whole RTM_NEWLINK message; struct.error or ValueError for one that is cut short."""
    _, device, index, flags, _ = BODY.unpack_from(data, HEADER.size)
    told = attributes(data, HEADER.size + BODY.size)
    info = attributes(told.get(IFLA_LINKINFO, b""))
    kind = _text(info.get(IFLA_INFO_KIND, b""))
    port = attributes(info[IFLA_INFO_SLAVE_DATA]) if _is_port(info) else None
    return Link(
        index=index,
        name=_text(told.get(IFLA_IFNAME, b"")),
        mac=told.get(IFLA_ADDRESS, b"").hex(":") if device in {ARPHRD_ETHER, ARPHRD_LOOPBACK} else "",
        mtu=_number(told, IFLA_MTU),
        kind=kind,
        up=bool(flags & IFF_UP),
        operstate=OPERSTATES[told.get(IFLA_OPERSTATE, b"\0")[0]],
        master=_number(told, IFLA_MASTER),
        peer=_number(told, IFLA_LINK) if kind == "veth" else 0,
        alias=_text(told.get(IFLA_IFALIAS, b"")),
        promiscuous=_number(told, IFLA_PROMISCUITY),
        vxlan=_vxlan(info) if kind == "vxlan" else None,
        hairpin=None if port is None else _flag(port, IFLA_BRPORT_MODE),
        isolated=None if port is None else _flag(port, IFLA_BRPORT_ISOLATED),
        bridge=_bridge(info) if kind == "bridge" else None,
        arp=not flags & IFF_NOARP,
        promisc=bool(flags & IFF_PROMISC),
        all_multicast=bool(flags & IFF_ALLMULTI),
        queue=_number(told, IFLA_TXQLEN),
        advised=_advised(told.get(IFLA_AF_SPEC, b"")),
        peer_space=_number(told, IFLA_LINK_NETNSID) if IFLA_LINK_NETNSID in told else None,
    )


def read_vlans(data: bytes) -> tuple[int, tuple[Vlan, ...]]:
    """Read an answer to `dump_vlans`: the index of a port, or of a bridge itself, and its VLANs, none where none are filtered."""
    _, _, index, _, _ = BODY.unpack_from(data, HEADER.size)
    told = attributes(data, HEADER.size + BODY.size)
    infos = [value for kind, value in attribute_list(told.get(IFLA_AF_SPEC, b"")) if kind == IFLA_BRIDGE_VLAN_INFO]
    return index, tuple(
        Vlan(vid, pvid=bool(flags & VLAN_PVID), untagged=bool(flags & VLAN_UNTAGGED))
        for flags, vid in map(VLAN_INFO.unpack, infos)
    )


def _question(flags: int, index: int, selector: bytes) -> bytearray:
    return message(RTM_GETLINK, flags, pack(BODY, 0, 0, index, 0, 0), selector, WITHOUT_STATS)


def _text(value: bytes) -> str:
    """Read a name or alias; the kernel keeps them as bytes, UTF-8 or not."""
    return value.rstrip(b"\0").decode(errors="backslashreplace")


def _number(told: Attributes, kind: int) -> int:
    value: int = U32.unpack(told[kind])[0] if kind in told else 0
    return value


def _flag(told: Attributes, kind: int) -> bool:
    return any(told.get(kind, b""))


def _is_port(info: Attributes) -> bool:
    return _text(info.get(IFLA_INFO_SLAVE_KIND, b"")) == "bridge" and IFLA_INFO_SLAVE_DATA in info


def _advised(families: bytes) -> bool | None:
    settings = attributes(attributes(families).get(AF_INET6, b"")).get(IFLA_INET6_CONF)
    return None if settings is None else any(settings[ACCEPT_RA])


def _bridge(info: Attributes) -> BridgeInfo | None:
    if IFLA_INFO_DATA not in info:
        return None
    device = attributes(info[IFLA_INFO_DATA])
    pvid = device.get(IFLA_BR_VLAN_DEFAULT_PVID)
    return BridgeInfo(_flag(device, IFLA_BR_VLAN_FILTERING), None if pvid is None else U16.unpack(pvid)[0])


def _vxlan(info: Attributes) -> VxlanInfo | None:
    if IFLA_INFO_DATA not in info:
        return None
    device = attributes(info[IFLA_INFO_DATA])
    four, six = device.get(IFLA_VXLAN_LOCAL), device.get(IFLA_VXLAN_LOCAL6)
    return VxlanInfo(
        vni=_number(device, IFLA_VXLAN_ID),
        port=PORT.unpack(device[IFLA_VXLAN_PORT])[0] if IFLA_VXLAN_PORT in device else 0,
        local=IPv4Address(four) if four else IPv6Address(six) if six else None,
        parent=_number(device, IFLA_VXLAN_LINK),
        learning=_flag(device, IFLA_VXLAN_LEARNING),
    )
