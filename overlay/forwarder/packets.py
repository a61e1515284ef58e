"""What is done to an IPv4 packet between TUN and UDP: hop limit, checksum, and the ICMP answer without a route.

As in docs/reference/flannel.md 5.4 the hop limit is lowered both when sending and when receiving; a packet that reaches
0 is dropped without an answer. Bytes come in and go out; there are no sockets here.
"""

import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

SHORTEST = 20
"""Bytes of an IPv4 header without options; anything shorter is no packet."""
ICMP = 1
UNREACHABLE_TTL = 8
"""Hop limit of our own answers (docs/reference/flannel.md 5.4)."""


class Table:
    """Which host has a destination, the longest matching subnet wins; and what may come in."""

    def __init__(
        self,
        routes: Iterable[tuple[IPv4Network, IPv4Address]],
        subnet: IPv4Network,
        allowed: Iterable[IPv4Network] = (),
    ) -> None:
        """Take peers' subnets with their hosts, this host's own, and who may send for any of the peers."""
        self._lengths: dict[int, dict[int, str]] = {}
        for network, host in routes:
            shift = 32 - network.prefixlen
            self._lengths.setdefault(shift, {})[int(network.network_address) >> shift] = str(host)
        self._shifts = sorted(self._lengths)
        self._first, self._last = int(subnet.network_address), int(subnet.broadcast_address)
        self._allowed = tuple(allowed)

    def find(self, destination: int) -> str | None:
        """Return the host's address; None when no subnet has the destination (an address as a number)."""
        for shift in self._shifts:
            host = self._lengths[shift].get(destination >> shift)
            if host is not None:
                return host
        return None

    def lets_in(self, packet: bytearray, sender: str) -> bool:
        """Return whether a packet is for this host's subnet and from that of the host that sent it.

        Whatever else a datagram brings would be forwarded as if this host vouched for it: to other networks, and
        masqueraded.
        """
        if not self._first <= destination(packet) <= self._last:
            return False
        host = self.find(int.from_bytes(packet[12:16], "big"))
        return host is not None and (host == sender or self._may_speak(sender))

    def _may_speak(self, sender: str) -> bool:
        """Return whether a sender who is no peer may send for one: a peer behind NAT, say."""
        return bool(self._allowed) and any(IPv4Address(sender) in one for one in self._allowed)


def is_packet(packet: bytearray) -> bool:
    """Return whether this is an IPv4 packet long enough to be looked at."""
    return len(packet) >= SHORTEST and packet[0] >> 4 == 4


def destination(packet: bytearray) -> int:
    """Return the destination as a number."""
    return int.from_bytes(packet[16:20], "big")


def hop(packet: bytearray) -> bool:
    """Take one off the hop limit and patch the checksum (RFC 1624); False when the packet's way ends here."""
    if packet[8] <= 1:
        return False
    packet[8] -= 1
    checksum = int.from_bytes(packet[10:12], "big") + 0x0100
    packet[10:12] = (checksum + (checksum >= 0xFFFF) & 0xFFFF).to_bytes(2, "big")
    return True


def unreachable(packet: bytearray, source: IPv4Address) -> bytes | None:
    """Make the ICMP answer "net unreachable" from `source`; None where none may be sent: to ICMP, to later fragments."""
    if packet[9] == ICMP or int.from_bytes(packet[6:8], "big") & 0x1FFF:
        return None
    quoted = bytes(packet[: (packet[0] & 0xF) * 4 + 8])
    body = _summed(struct.pack("!BBHI", 3, 0, 0, 0) + quoted, at=2)
    length = SHORTEST + len(body)
    head = (
        struct.pack("!BBHHHBBH", 0x45, 0, length, 0, 0, UNREACHABLE_TTL, ICMP, 0) + source.packed + bytes(packet[12:16])
    )
    return _summed(head, at=10) + body


def _summed(data: bytes, at: int) -> bytes:
    """Put the internet checksum of `data` into its two bytes at `at` (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return data[:at] + (~total & 0xFFFF).to_bytes(2, "big") + data[at + 2 :]
