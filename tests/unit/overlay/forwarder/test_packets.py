"""Claims: the longest matching subnet wins; a hop takes one off the hop limit and leaves the checksum right, the last one ends the
way; what comes in is for our subnet and from the sender's own, or from any peer's where the sender is allowed to; "net unreachable" quotes header and 8 bytes with right checksums, and is never sent to ICMP or later fragments.
"""

import struct
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlay.forwarder import packets

SOURCE, TARGET = IPv4Address("10.42.1.5"), IPv4Address("10.42.2.7")


def summed(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def packet(ttl: int = 64, protocol: int = 17, fragment: int = 0, identity: int = 7) -> bytearray:
    payload = b"0123456789abcdef"
    head = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), identity, fragment, ttl, protocol, 0))
    head += SOURCE.packed + TARGET.packed
    head[10:12] = (~summed(bytes(head)) & 0xFFFF).to_bytes(2, "big")
    return head + payload


def test_the_longest_matching_subnet_wins() -> None:
    table = packets.Table(
        [
            (IPv4Network("10.42.0.0/16"), IPv4Address("192.0.2.1")),
            (IPv4Network("10.42.2.0/24"), IPv4Address("192.0.2.2")),
        ],
        IPv4Network("10.42.1.0/24"),
    )
    assert [table.find(int(IPv4Address(one))) for one in ("10.42.2.7", "10.42.3.7", "10.43.0.1")] == [
        "192.0.2.2",
        "192.0.2.1",
        None,
    ]


TABLE = packets.Table(
    [(IPv4Network("10.42.1.0/24"), IPv4Address("192.0.2.1")), (IPv4Network("10.42.3.0/24"), IPv4Address("192.0.2.3"))],
    IPv4Network("10.42.2.0/24"),
    allowed=[IPv4Network("198.51.100.0/24")],
)


@pytest.mark.parametrize(
    ("sender", "source", "target", "enters"),
    [
        ("192.0.2.1", "10.42.1.5", "10.42.2.7", True),
        ("192.0.2.1", "10.42.1.0", "10.42.2.0", True),  # the hosts' own addresses
        ("192.0.2.9", "10.42.1.5", "10.42.2.7", False),  # a stranger
        ("192.0.2.3", "10.42.1.5", "10.42.2.7", False),  # a peer in another's name
        ("192.0.2.1", "10.42.2.5", "10.42.2.7", False),  # in ours
        ("192.0.2.1", "203.0.113.1", "10.42.2.7", False),
        ("192.0.2.1", "10.42.1.5", "10.42.3.7", False),  # not for us
        ("192.0.2.1", "10.42.1.5", "203.0.113.1", False),
        ("192.0.2.1", "10.42.1.5", "127.0.0.1", False),
        ("198.51.100.7", "10.42.1.5", "10.42.2.7", True),  # allowed: behind NAT, say
        ("198.51.100.7", "203.0.113.1", "10.42.2.7", False),
    ],
)
def test_what_comes_in_is_for_our_subnet_and_from_the_senders_own(
    sender: str, source: str, target: str, enters: bool
) -> None:
    one = packet()
    one[12:20] = IPv4Address(source).packed + IPv4Address(target).packed
    assert TABLE.lets_in(one, sender) == enters


@given(ttl=st.integers(2, 255), identity=st.integers(0, 0xFFFF))
def test_a_hop_keeps_the_checksum_right(ttl: int, identity: int) -> None:
    one = packet(ttl, identity=identity)
    assert packets.hop(one)
    assert (one[8], summed(bytes(one[:20]))) == (ttl - 1, 0xFFFF)


@pytest.mark.parametrize("ttl", [0, 1])
def test_the_last_hop_ends_the_way(ttl: int) -> None:
    assert not packets.hop(packet(ttl))


@pytest.mark.parametrize("data", [b"", bytes(19), b"\x60" + bytes(39)])
def test_what_is_no_ipv4_packet_is_told_apart(data: bytes) -> None:
    assert not packets.is_packet(bytearray(data))


def test_net_unreachable_quotes_the_packet() -> None:
    lost = packet()
    answer = packets.unreachable(lost, IPv4Address("10.42.1.0"))
    assert answer is not None
    assert (answer[8], answer[9], answer[12:16], answer[16:20]) == (8, 1, b"\x0a\x2a\x01\x00", SOURCE.packed)
    assert (answer[20:22], answer[28:]) == (b"\x03\x00", bytes(lost[:28]))
    assert (summed(answer[:20]), summed(answer[20:]), len(answer)) == (0xFFFF, 0xFFFF, 56)


@pytest.mark.parametrize("lost", [packet(protocol=1), packet(fragment=1), packet(fragment=0x2001)])
def test_icmp_and_later_fragments_get_no_answer(lost: bytearray) -> None:
    assert packets.unreachable(lost, IPv4Address("10.42.1.0")) is None


def test_a_first_fragment_gets_one() -> None:
    assert packets.unreachable(packet(fragment=0x2000), IPv4Address("10.42.1.0"))


@given(st.binary(min_size=20, max_size=80))
def test_no_bytes_from_the_wire_raise(data: bytes) -> None:
    one = bytearray(data)
    packets.hop(one)
    packets.unreachable(one, IPv4Address("10.42.1.0"))
