"""Turns the kernel's answers into entries with pyroute2's message classes.

Each function takes one whole message and returns its entry, or None when the message is about something else (another
family, a cached clone). Importing this loads pyroute2's message classes. Must not know sockets or who asked.
"""

from ipaddress import ip_address, ip_interface, ip_network
from socket import AF_INET, AF_INET6
from typing import Any

from kernel.encoding import AF_BRIDGE, IFF_UP, NUD_PERMANENT, RTNH_F_ONLINK
from kernel.entries import BridgeInfo, FdbEntry, Hop, IPAddress, Link, LinkAddress, Neighbour, RouteEntry, VxlanInfo
from kernel.messages import ifaddrmsg, ifinfmsg, ndmsg, rtmsg

ARPHRD_ETHER, ARPHRD_LOOPBACK = 1, 772  # linux/if_arp.h: the link types whose address is a MAC
RTM_F_CLONED = 0x200  # linux/rtnetlink.h: a cache entry, no route of anybody's
ROUTE_KINDS = {1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast", 6: "blackhole"}
ROUTE_KINDS |= {7: "unreachable", 8: "prohibit", 9: "throw", 10: "nat", 11: "xresolve"}
FAMILIES = (AF_INET, AF_INET6)


class Attributes:
    """The attributes of one message or nest by name; each is decoded when it is asked for."""

    __slots__ = ("_slots",)

    def __init__(self, nest: Any) -> None:
        self._slots = {slot.name: slot for slot in nest["attrs"]}

    def get(self, name: str, default: Any = None) -> Any:
        """Return the decoded value, or `default` when the attribute is absent."""
        slot = self._slots.get(name)
        return default if slot is None else slot.value

    def nest(self, name: str) -> "Attributes | None":
        """Return the attributes inside an attribute; None when it is absent or no nest."""
        inner = self.get(name)
        return Attributes(inner) if isinstance(inner, dict) and "attrs" in inner else None

    def address(self, name: str) -> IPAddress | None:
        """Return an address attribute; None when it is absent."""
        text = self.get(name)
        return None if text is None else ip_address(text)


def _open(layout: Any, data: bytes) -> tuple[Any, Attributes]:
    message = layout(data)
    message.decode()
    return message, Attributes(message)


def link(data: bytes) -> Link:
    """Decode RTM_NEWLINK."""
    message, attributes = _open(ifinfmsg, data)
    info = attributes.nest("IFLA_LINKINFO")
    kind = info.get("IFLA_INFO_KIND", "") if info else ""
    slave = info.nest("IFLA_INFO_SLAVE_DATA") if info and info.get("IFLA_INFO_SLAVE_KIND") == "bridge" else None
    return Link(
        index=message["index"],
        name=_text(attributes.get("IFLA_IFNAME", "")),
        mac=attributes.get("IFLA_ADDRESS", "") if message["ifi_type"] in {ARPHRD_ETHER, ARPHRD_LOOPBACK} else "",
        mtu=attributes.get("IFLA_MTU", 0),
        kind=kind,
        up=bool(message["flags"] & IFF_UP),
        operstate=attributes.get("IFLA_OPERSTATE", "unknown").lower(),
        master=attributes.get("IFLA_MASTER", 0),
        peer=attributes.get("IFLA_LINK", 0) if kind == "veth" else 0,
        alias=_text(attributes.get("IFLA_IFALIAS", "")),
        promiscuous=attributes.get("IFLA_PROMISCUITY", 0),
        vxlan=_vxlan(info) if info and kind == "vxlan" else None,
        hairpin=bool(slave.get("IFLA_BRPORT_MODE", 0)) if slave else None,
        isolated=bool(slave.get("IFLA_BRPORT_ISOLATED", 0)) if slave else None,
        bridge=_bridge(info) if info and kind == "bridge" else None,
    )


def _text(value: str | bytes) -> str:
    """Accept what pyroute2 could not read as UTF-8: the kernel keeps names and aliases as bytes."""
    return value if isinstance(value, str) else value.decode(errors="backslashreplace")


def _bridge(info: Attributes) -> BridgeInfo | None:
    device = info.nest("IFLA_INFO_DATA")
    if device is None:
        return None
    filtering, pvid = device.get("IFLA_BR_VLAN_FILTERING", 0), device.get("IFLA_BR_VLAN_DEFAULT_PVID")
    return BridgeInfo(vlan_filtering=bool(filtering), default_pvid=pvid)


def _vxlan(info: Attributes) -> VxlanInfo | None:
    device = info.nest("IFLA_INFO_DATA")
    if device is None:
        return None
    return VxlanInfo(
        vni=device.get("IFLA_VXLAN_ID", 0),
        port=device.get("IFLA_VXLAN_PORT", 0),
        local=device.address("IFLA_VXLAN_LOCAL") or device.address("IFLA_VXLAN_LOCAL6"),
        parent=device.get("IFLA_VXLAN_LINK", 0),
        learning=bool(device.get("IFLA_VXLAN_LEARNING", 0)),
    )


def address(data: bytes) -> LinkAddress | None:
    """Decode RTM_NEWADDR; of a point-to-point address the near end counts (IFA_LOCAL)."""
    message, attributes = _open(ifaddrmsg, data)
    if message["family"] not in FAMILIES:
        return None
    near = attributes.get("IFA_LOCAL") or attributes.get("IFA_ADDRESS")
    return LinkAddress(
        link=message["index"],
        address=ip_interface(f"{near}/{message['prefixlen']}"),
        scope=message["scope"],
        flags=attributes.get("IFA_FLAGS", message["flags"]),
    )


def route(data: bytes) -> RouteEntry | None:
    """Decode RTM_NEWROUTE, whether it is configured or the answer to a lookup."""
    message, attributes = _open(rtmsg, data)
    return _route(message, attributes) if message["family"] in FAMILIES else None


def configured_route(data: bytes) -> RouteEntry | None:
    """Decode RTM_NEWROUTE from a dump, leaving out what the kernel only remembers (IPv6 clones)."""
    message, attributes = _open(rtmsg, data)
    ours = message["family"] in FAMILIES and not message["flags"] & RTM_F_CLONED
    return _route(message, attributes) if ours else None


def _route(message: Any, attributes: Attributes) -> RouteEntry:
    everything = "0.0.0.0" if message["family"] == AF_INET else "::"  # noqa: S104 - the default route's destination
    metrics = attributes.nest("RTA_METRICS")
    return RouteEntry(
        dst=ip_network(f"{attributes.get('RTA_DST', everything)}/{message['dst_len']}"),
        gateway=attributes.address("RTA_GATEWAY"),
        link=attributes.get("RTA_OIF", 0),
        onlink=bool(message["flags"] & RTNH_F_ONLINK),
        priority=attributes.get("RTA_PRIORITY", 0),
        table=attributes.get("RTA_TABLE", message["table"]),
        scope=message["scope"],
        protocol=message["proto"],
        kind=ROUTE_KINDS.get(message["type"], str(message["type"])),
        source=attributes.address("RTA_PREFSRC"),
        mtu=metrics.get("RTAX_MTU", 0) if metrics else 0,
        advmss=metrics.get("RTAX_ADVMSS", 0) if metrics else 0,
        hops=tuple(_hop(hop) for hop in attributes.get("RTA_MULTIPATH", ())),
    )


def _hop(hop: Any) -> Hop:
    attributes = Attributes(hop)
    return Hop(
        gateway=attributes.address("RTA_GATEWAY"),
        link=hop["oif"],
        onlink=bool(hop["flags"] & RTNH_F_ONLINK),
        weight=hop["hops"] + 1,
    )


def neighbour(data: bytes) -> Neighbour | None:
    """Decode RTM_NEWNEIGH of an address family."""
    message, attributes = _open(ndmsg, data)
    where = attributes.address("NDA_DST")
    if message["family"] not in FAMILIES or where is None:
        return None
    permanent = bool(message["state"] & NUD_PERMANENT)
    return Neighbour(message["ifindex"], where, attributes.get("NDA_LLADDR", ""), permanent)


def fdb(data: bytes) -> FdbEntry | None:
    """Decode RTM_NEWNEIGH of a bridge port or vxlan device."""
    message, attributes = _open(ndmsg, data)
    if message["family"] != AF_BRIDGE:
        return None
    permanent = bool(message["state"] & NUD_PERMANENT)
    return FdbEntry(message["ifindex"], attributes.get("NDA_LLADDR", ""), attributes.address("NDA_DST"), permanent)
