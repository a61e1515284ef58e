"""Builds frames as a container with a raw socket would, and tells whether they come out at a neighbour's interface."""

import socket
import struct
from ipaddress import ip_address

from kernel import netns
from tests.netns.spaces import Space

ETH_ALL = 3
IP, ARP, IP6, VLAN, RARP = 0x0800, 0x0806, 0x86DD, 0x8100, 0x8035
UDP, ICMP6, FRAGMENT, OPTIONS, TCP, ICMP = 17, 58, 44, 60, 6, 1
BROADCAST = "ff:ff:ff:ff:ff:ff"
ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ether(source: str, kind: int, body: bytes, target: str = BROADCAST) -> bytes:
    return mac(target) + mac(source) + struct.pack("!H", kind) + body


def arp(sender_mac: str, sender: str, target: str, operation: int = 1, header: str = "000108000604") -> bytes:
    addresses = (ip_address(sender).packed, mac("00:00:00:00:00:00"), ip_address(target).packed)
    return bytes.fromhex(header) + struct.pack("!H", operation) + mac(sender_mac) + b"".join(addresses)


def ip(source: str, target: str, protocol: int, body: bytes, fragment: int = 0) -> bytes:
    """A fragment is the field of flags and offset."""
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 7, fragment, 64, protocol, 0)
    head += ip_address(source).packed + ip_address(target).packed
    return head[:10] + struct.pack("!H", _sum(head)) + head[12:] + body


def ip6(source: str, target: str, following: int, body: bytes) -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(body), following, 255)
    return head + ip_address(source).packed + ip_address(target).packed + body


def icmp6(source: str, target: str, kind: int, rest: bytes) -> bytes:
    body = bytes([kind, 0, 0, 0]) + rest
    pseudo = ip_address(source).packed + ip_address(target).packed + struct.pack("!II", len(body), ICMP6)
    return body[:2] + struct.pack("!H", _sum(pseudo + body)) + body[4:]


def router_advertisement(source: str) -> bytes:
    return icmp6(source, ALL_NODES, 134, struct.pack("!BBHII", 64, 0, 1800, 0, 0))


def neighbour(kind: int, source: str, about: str, hardware: str, target: str = ALL_NODES) -> bytes:
    option = bytes([1 if kind == 135 else 2, 1]) + mac(hardware)
    return icmp6(
        source, target, kind, struct.pack("!I", 0x60000000 if kind == 136 else 0) + ip_address(about).packed + option
    )


def udp(source: int, target: int, data: bytes = b"x" * 8) -> bytes:
    return struct.pack("!HHHH", source, target, 8 + len(data), 0) + data


def fragment(following: int, offset: int, body: bytes, more: int = 1) -> bytes:
    """An IPv6 fragment header before `body`; the offset is in units of 8 bytes."""
    return struct.pack("!BBHI", following, 0, offset << 3 | more, 7) + body


def options(following: int) -> bytes:
    """Eight bytes of destination options that say nothing."""
    return bytes([following, 0, 1, 4, 0, 0, 0, 0])


def tagged(kind: int, body: bytes, vid: int = 0) -> bytes:
    return struct.pack("!HH", vid, kind) + body


def _sum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data + bytes(len(data) % 2)) // 2}H", data + bytes(len(data) % 2)))
    folded: int = (total >> 16) + (total & 0xFFFF)
    return ~(folded + (folded >> 16)) & 0xFFFF


def passes(sender: Space, receiver: Space, frame: bytes, marker: bytes) -> bool:
    """Tell whether `frame`, sent from the one's eth0, arrives at the other's; `marker` is sent after it, and does arrive."""
    with _door(sender, 0) as out, _door(receiver, ETH_ALL) as into:
        into.settimeout(5)
        for each in (frame, marker):
            out.send(each)
        wanted, end = _told(frame), _told(marker)
        seen = False
        while (arrived := _told(into.recv(65536))) != end:
            seen = seen or arrived == wanted
        return seen


def _told(frame: bytes) -> bytes:
    """Return what is told of a frame by its data, without the tags that the kernel takes off and the filling it may add."""
    start = 14
    while frame[start - 2 : start] == b"\x81\x00":
        start += 4
    return frame[start : start + 28]


def _door(space: Space, protocol: int) -> socket.socket:
    with netns.inside(space.namespace):
        door = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    door.bind(("eth0", protocol))
    return door
