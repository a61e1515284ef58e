"""Turns the kernel's answers into entries with pyroute2's message classes; what comes in thousands kernel.rows reads.

Each function takes one whole message and returns its entry, or None when the message is about something else (another
family, a cached clone). Importing this loads pyroute2's message classes. Must not know sockets or who asked.
"""

from ipaddress import ip_address, ip_interface
from socket import AF_INET, AF_INET6
from typing import Any

from kernel.encoding import IFF_UP
from kernel.entries import BridgeInfo, IPAddress, Link, LinkAddress, VxlanInfo
from kernel.messages import ifaddrmsg, ifinfmsg

ARPHRD_ETHER, ARPHRD_LOOPBACK = 1, 772  # linux/if_arp.h: the link types whose address is a MAC
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
