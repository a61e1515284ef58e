"""Claims: a message names its table, and its chain where it is about a rule; what ends a transaction, what is cut short and what is not nftables' names none."""

import struct

import pytest

from kernel.firewall import nft_monitor
from kernel.netlink.message import HEADER
from kernel.netlink.transport import Message


def message(kind: int, attribute: int = 1, name: bytes = b"filter\0") -> Message:
    body = struct.pack("=BBH", 2, 0, 0) + struct.pack("=HH", 4 + len(name), attribute) + name
    return Message(kind, 0, 0, HEADER.pack(HEADER.size + len(body), kind, 0, 0, 0) + body)


def test_a_rule_names_its_chain() -> None:
    both = struct.pack("=HH", 8, 1) + b"nat\0" + struct.pack("=HH", 15, 2) + b"PREROUTING\0" + b"\0"
    body = HEADER.pack(HEADER.size + 4 + len(both), 0xA08, 0, 0, 0) + struct.pack("=BBH", 2, 0, 0) + both
    event = Message(0xA08, 0, 0, body)
    assert [nft_monitor.name_of(event, one) for one in (nft_monitor.TABLE, nft_monitor.CHAIN)] == ["nat", "PREROUTING"]
    assert nft_monitor.name_of(message(0xA08), nft_monitor.CHAIN) is None


@pytest.mark.parametrize("kind", [0xA00, 0xA03, 0xA08, 0xA0C])
def test_a_message_names_its_table(kind: int) -> None:
    assert nft_monitor.table_of(message(kind)) == "filter"


@pytest.mark.parametrize(
    "other", [message(0xA0F), message(0x10), message(0xA00, attribute=2), Message(0xA00, 0, 0, b"\0" * 20)]
)
def test_other_messages_name_none(other: Message) -> None:
    assert nft_monitor.table_of(other) is None
