"""Claims: a message names its table; what ends a transaction, what is cut short and what is not nftables' names none."""

import struct

import pytest

from kernel import nft_events
from kernel.frames import HEADER
from kernel.transport import Answer


def message(kind: int, attribute: int = 1, name: bytes = b"filter\0") -> Answer:
    body = struct.pack("=BBH", 2, 0, 0) + struct.pack("=HH", 4 + len(name), attribute) + name
    return Answer(kind, 0, 0, HEADER.pack(HEADER.size + len(body), kind, 0, 0, 0) + body)


@pytest.mark.parametrize("kind", [0xA00, 0xA03, 0xA08, 0xA0C])
def test_a_message_names_its_table(kind: int) -> None:
    assert nft_events.table_of(message(kind)) == "filter"


@pytest.mark.parametrize(
    "other", [message(0xA0F), message(0x10), message(0xA00, attribute=2), Answer(0xA00, 0, 0, b"\0" * 20)]
)
def test_other_messages_name_none(other: Answer) -> None:
    assert nft_events.table_of(other) is None
