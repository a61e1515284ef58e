"""What pyroute2's message classes write for the requests that kernel.netlink.codec writes by hand: the other opinion its tests compare with.

Needs pyroute2, which no program of ours does.
"""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Interface
from socket import AF_INET, AF_INET6, AF_UNSPEC
from typing import Any

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from kernel.netlink import requests
from kernel.netlink.requests import Request
from system.ip import IPAddress

# linux/netlink.h, linux/rtnetlink.h
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
REPLACE, EXCL, CREATE = 0x100, 0x200, 0x400
AF_BRIDGE = 7
RTM_NEWLINK, RTM_DELLINK, RTM_SETLINK = 16, 17, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_GETROUTE, RTM_GETNEIGH = 26, 30

IFF_UP, IFF_PROMISC, IFF_ALLMULTI = 0x1, 0x100, 0x200
IFA_F_NODAD = 0x2
VLAN_PVID, VLAN_UNTAGGED = 0x2, 0x4  # linux/if_bridge.h

Message = bytearray
Attributes = list[tuple[str, Any]]


def encode(request: Request) -> list[Message]:
    """Return the messages of one well-formed request, in order, with sequence number 0."""
    return ENCODERS[type(request)](request)


def message(layout: Any, kind: int, flags: int, fields: Mapping[str, int], attributes: Attributes) -> Message:
    """Encode one message: `layout` is pyroute2's class, `kind` the RTM_ number."""
    body = layout()
    body.update(fields)
    body["attrs"] = attributes
    body["header"] = {"type": kind, "flags": NLM_F_REQUEST | flags, "sequence_number": 0, "pid": 0}
    body.encode()
    data: Message = body.data
    return data


def family_of(address: Any) -> int:
    """Return the address family of anything from ipaddress."""
    return AF_INET if address.version == 4 else AF_INET6


def link_selector(link: int | str) -> tuple[dict[str, int], Attributes]:
    """Return the fields and attributes that name one link."""
    if isinstance(link, int):
        return {"index": link}, []
    return {}, [("IFLA_IFNAME", (link))]


def _common(mtu: int, mac: str) -> Attributes:
    sized: Attributes = [("IFLA_MTU", mtu)] if mtu else []
    return [*sized, ("IFLA_ADDRESS", mac)] if mac else sized


def _info(kind: str, data: Attributes) -> tuple[str, Any]:
    inner: Attributes = [("IFLA_INFO_DATA", {"attrs": data})] if data else []
    return ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", kind), *inner]})


def _new_link(up: bool, attributes: Attributes) -> list[Message]:
    fields = {"flags": IFF_UP, "change": IFF_UP} if up else {}
    return [message(ifinfmsg, RTM_NEWLINK, CREATE | EXCL, fields, attributes)]


def _add_bridge(request: requests.AddBridge) -> list[Message]:
    name = ("IFLA_IFNAME", (request.name))
    return _new_link(request.up, [name, *_common(request.mtu, request.mac), _bridge(request.vlan_filtering or None)])


def _bridge(vlan_filtering: bool | None) -> tuple[str, Any]:
    data: Attributes = [] if vlan_filtering is None else [("IFLA_BR_VLAN_FILTERING", int(vlan_filtering))]
    return _info("bridge", data)


def _add_veth(request: requests.AddVeth) -> list[Message]:
    peer: Attributes = [("IFLA_IFNAME", (request.peer)), *_common(request.mtu, request.peer_mac)]
    if request.peer_namespace is not None:
        peer.append(("IFLA_NET_NS_FD", request.peer_namespace.fd))
    near: Attributes = [("IFLA_IFNAME", (request.name)), *_common(request.mtu, "")]
    if request.master:
        near.append(("IFLA_MASTER", request.master))
    return _new_link(request.up, [*near, _info("veth", [("VETH_INFO_PEER", {"attrs": peer})])])


def _add_vxlan(request: requests.AddVxlan) -> list[Message]:
    local = "IFLA_VXLAN_LOCAL" if request.local.version == 4 else "IFLA_VXLAN_LOCAL6"
    device: Attributes = [
        ("IFLA_VXLAN_ID", request.vni),
        ("IFLA_VXLAN_LINK", request.parent),
        (local, str(request.local)),
        ("IFLA_VXLAN_TTL", 0),
        ("IFLA_VXLAN_TOS", 0),
        ("IFLA_VXLAN_LEARNING", int(request.learning)),
        ("IFLA_VXLAN_PROXY", 0),
        ("IFLA_VXLAN_RSC", 0),
        ("IFLA_VXLAN_L2MISS", 0),
        ("IFLA_VXLAN_L3MISS", 0),
        ("IFLA_VXLAN_UDP_ZERO_CSUM6_TX", 0),
        ("IFLA_VXLAN_UDP_ZERO_CSUM6_RX", 0),
    ]
    if request.port:
        device.append(("IFLA_VXLAN_PORT", request.port))
    named: Attributes = [("IFLA_IFNAME", (request.name)), ("IFLA_TXQLEN", 0)]
    return _new_link(False, [*named, *_common(request.mtu, request.mac), _info("vxlan", device)])


def _add_wireguard(request: requests.AddWireguard) -> list[Message]:
    return _new_link(False, [("IFLA_IFNAME", (request.name)), _info("wireguard", [])])


def _add_ifb(request: requests.AddIfb) -> list[Message]:
    named: Attributes = [("IFLA_IFNAME", (request.name)), ("IFLA_TXQLEN", 0)]
    return _new_link(True, [*named, *_common(request.mtu, ""), _info("ifb", [])])


def _flags(wanted: Mapping[int, bool | None]) -> dict[str, int]:
    """Return the fields that switch the given flags on or off and leave the others (None) alone."""
    given = {flag: on for flag, on in wanted.items() if on is not None}
    return {"flags": sum(flag for flag, on in given.items() if on), "change": sum(given)} if given else {}


def _set_link(request: requests.SetLink) -> list[Message]:
    """Port properties go in a second message when the link joins its bridge in the first.

    The kernel looks for the bridge before it applies the message (rtnl_newlink), so one message would be refused.
    """
    fields, selector = link_selector(request.link)
    fields |= _flags({IFF_UP: request.up, IFF_PROMISC: request.promiscuous, IFF_ALLMULTI: request.all_multicast})
    changes = _common(request.mtu, request.mac)
    if request.alias is not None:
        changes.append(("IFLA_IFALIAS", request.alias))
    if request.queue is not None:
        changes.append(("IFLA_TXQLEN", request.queue))
    if request.vlan_filtering is not None:
        changes.append(_bridge(request.vlan_filtering))
    port = _port(request)
    if request.master is None:
        return [message(ifinfmsg, RTM_NEWLINK, 0, fields, [*selector, *changes, *port])]
    joined = message(ifinfmsg, RTM_NEWLINK, 0, fields, [*selector, *changes, ("IFLA_MASTER", request.master)])
    if not port:
        return [joined]
    return [joined, message(ifinfmsg, RTM_NEWLINK, 0, *_with(link_selector(request.link), port))]


def _with(selected: tuple[dict[str, int], Attributes], more: Attributes) -> tuple[dict[str, int], Attributes]:
    fields, attributes = selected
    return fields, [*attributes, *more]


def _port(request: requests.SetLink) -> Attributes:
    wanted = {"IFLA_BRPORT_MODE": request.hairpin, "IFLA_BRPORT_ISOLATED": request.isolated}
    port = [(name, int(value)) for name, value in wanted.items() if value is not None]
    if not port:
        return []
    slave = [("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", {"attrs": port})]
    return [("IFLA_LINKINFO", {"attrs": slave})]


def _delete_link(request: requests.DeleteLink) -> list[Message]:
    return [message(ifinfmsg, RTM_DELLINK, 0, *link_selector(request.link))]


def _add_vlans(request: requests.AddVlans) -> list[Message]:
    members = [
        (vlan.vid, (VLAN_PVID if vlan.pvid else 0) | (VLAN_UNTAGGED if vlan.untagged else 0)) for vlan in request.vlans
    ]
    return [_membership(RTM_SETLINK, request.link, members)]


def _delete_vlans(request: requests.DeleteVlans) -> list[Message]:
    return [_membership(RTM_DELLINK, request.link, [(vid, 0) for vid in request.vids])]


def _membership(kind: int, link: int, members: list[tuple[int, int]]) -> Message:
    """Encode VLANs of a port as (id, flags)."""
    infos: Attributes = [("IFLA_BRIDGE_VLAN_INFO", {"vid": vid, "flags": flags}) for vid, flags in members]
    return message(ifinfmsg, kind, 0, {"family": AF_BRIDGE, "index": link}, [("IFLA_AF_SPEC", {"attrs": infos})])


def _add_address(request: requests.AddAddress) -> list[Message]:
    flags = CREATE | (REPLACE if request.replace else EXCL)
    fields, attributes = _address(request)
    fields |= {"scope": request.scope, "flags": IFA_F_NODAD if request.nodad else 0}
    if isinstance(request.address, IPv4Interface) and request.address.network.prefixlen < 31:
        attributes.append(("IFA_BROADCAST", str(request.address.network.broadcast_address)))
    return [message(ifaddrmsg, RTM_NEWADDR, flags, fields, attributes)]


def _delete_address(request: requests.DeleteAddress) -> list[Message]:
    return [message(ifaddrmsg, RTM_DELADDR, 0, *_address(request))]


def _address(request: requests.AddAddress | requests.DeleteAddress) -> tuple[dict[str, int], Attributes]:
    text = str(request.address.ip)
    fields = {
        "family": family_of(request.address),
        "prefixlen": request.address.network.prefixlen,
        "index": request.link,
    }
    return fields, [("IFA_LOCAL", text), ("IFA_ADDRESS", text)]


def dump_addresses(link: int, family: int) -> Message:
    """Ask for all addresses, or (link not 0) those of one link, or (family not AF_UNSPEC) of one family."""
    return message(ifaddrmsg, RTM_GETADDR, NLM_F_DUMP, {"family": family, "index": link}, [])


def dump_routes(family: int, table: int, link: int) -> Message:
    """Ask for the routes of one family and table, or (link not 0) those leaving by one link."""
    attributes: Attributes = [("RTA_TABLE", table), *([("RTA_OIF", link)] if link else [])]
    return message(rtmsg, RTM_GETROUTE, NLM_F_DUMP, {"family": family}, attributes)


def get_route(address: IPAddress) -> Message:
    """Ask which way a packet to `address` would go."""
    fields = {"family": family_of(address), "dst_len": address.max_prefixlen}
    return message(rtmsg, RTM_GETROUTE, 0, fields, [("RTA_DST", str(address))])


def dump_neighbours(link: int) -> Message:
    """Ask for the neighbour entries of one link."""
    return message(ndmsg, RTM_GETNEIGH, NLM_F_DUMP, {"family": AF_UNSPEC}, [("NDA_IFINDEX", link)])


def dump_fdb(link: int) -> Message:
    """Ask for the forwarding entries of one link."""
    return message(ndmsg, RTM_GETNEIGH, NLM_F_DUMP, {"family": AF_BRIDGE, "ifindex": link}, [])


ENCODERS: dict[type, Callable[[Any], list[Message]]] = {
    requests.AddBridge: _add_bridge,
    requests.AddVeth: _add_veth,
    requests.AddVxlan: _add_vxlan,
    requests.AddWireguard: _add_wireguard,
    requests.AddIfb: _add_ifb,
    requests.SetLink: _set_link,
    requests.DeleteLink: _delete_link,
    requests.AddVlans: _add_vlans,
    requests.DeleteVlans: _delete_vlans,
    requests.AddAddress: _add_address,
    requests.DeleteAddress: _delete_address,
}
