"""Packets as an attacker writes them, byte by byte, and the sockets to send them by: the tests' own, no line of the product's."""

import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address

from kernel import netns
from tests.netns.spaces import Space

ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
UDP, ICMPV6, FRAGMENT = 17, 58, 44
MORE = 0x2000
UDP_SEGMENT = 103  # linux/udp.h


def checksum(data: bytes) -> int:
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    return ~total & 0xFFFF


def ip(source: str, target: str, protocol: int, payload: bytes, *, fragment: int = 0, hops: int = 64) -> bytes:
    """Write an IPv4 or IPv6 packet; `fragment` is IPv4's field of flags and offset."""
    addresses = ip_address(source).packed + ip_address(target).packed
    if ":" in source:
        return struct.pack("!IHBB", 0x6000_0000, len(payload), protocol, hops) + addresses + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 7, fragment, hops, protocol, 0) + addresses
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def checked(source: str, target: str, protocol: int, payload: bytes, place: int) -> bytes:
    """Fill a payload's checksum in at `place`."""
    pseudo = (
        ip_address(source).packed + ip_address(target).packed + struct.pack("!IBBBB", len(payload), 0, 0, 0, protocol)
    )
    return payload[:place] + struct.pack("!H", checksum(pseudo + payload) or 0xFFFF) + payload[place + 2 :]


def udp(source: str, target: str, port: int, data: bytes) -> bytes:
    """Write a datagram without its IP header, from port 4444."""
    return checked(source, target, UDP, struct.pack("!HHHH", 4444, port, 8 + len(data), 0) + data, 6)


def datagram(source: str, target: str, port: int, data: bytes) -> bytes:
    """Write an IP packet with a datagram."""
    return ip(source, target, UDP, udp(source, target, port, data))


def ethernet(target: str, packet: bytes, kind: int = 0, source: str = "02:00:00:00:00:99") -> bytes:
    """Write a frame; its kind follows from the packet unless it is given."""
    kind = kind or (IPV6 if packet[0] >> 4 == 6 else IPV4)
    return bytes.fromhex((target + source).replace(":", "")) + struct.pack("!H", kind) + packet


def vxlan(frame: bytes, vni: int = 1) -> bytes:
    """Write what a VXLAN datagram carries."""
    return struct.pack("!II", 0x0800_0000, vni << 8) + frame


def arp(operation: int, mac: str, source: str, target: str) -> bytes:
    """Write an ARP request (1) or answer (2) in which `source` is at `mac`."""
    own = bytes.fromhex(mac.replace(":", "")) + ip_address(source).packed
    return struct.pack("!HHBBH", 1, IPV4, 6, 4, operation) + own + bytes(6) + ip_address(target).packed


def solicitation(source: str, target: str, mac: str) -> bytes:
    """Write an IPv6 packet that asks who has `target` and says that `source` is at `mac`."""
    body = (
        struct.pack("!BBHI", 135, 0, 0, 0)
        + ip_address(target).packed
        + b"\x01\x01"
        + bytes.fromhex(mac.replace(":", ""))
    )
    return ip(source, target, ICMPV6, checked(source, target, ICMPV6, body, 2), hops=255)


def fragments(source: str, target: str, payload: bytes, cut: int) -> Iterator[bytes]:
    """Cut a datagram into two IP packets, `cut` bytes in the first."""
    for offset, part, more in ((0, payload[:cut], 1), (cut, payload[cut:], 0)):
        if ":" in source:
            head = struct.pack("!BBHI", UDP, 0, offset | more, 9)
            yield ip(source, target, FRAGMENT, head + part)
        else:
            yield ip(source, target, UDP, part, fragment=offset // 8 | (MORE if more else 0))


def send(space: Space, target: str, port: int, data: bytes, *, segment: int = 0) -> None:
    """Send a datagram as anybody may, or several of `segment` bytes in one packet as the kernel takes it."""
    with netns.inside(space.namespace):
        out = socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM)
    with out:
        if segment:
            out.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, segment)
        out.sendto(data, (target, port))


def send_raw(space: Space, device: str, mac: str, *packets: bytes) -> None:
    """Send packets of any sender, which takes CAP_NET_RAW, to the link with `mac`."""
    link = space.network.link(device)
    assert link is not None
    with netns.inside(space.namespace):
        out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with out:
        out.bind((device, 0))
        for packet in packets:
            out.send(ethernet(mac, packet, source=link.mac))
