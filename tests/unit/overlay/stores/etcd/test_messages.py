"""Claims: requests are the bytes of etcd's public field numbers; answers are read whatever order or unknown fields they have; no bytes
raise anything but WireError.
"""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlay.stores.etcd import messages
from overlay.stores.etcd.messages import (
    Event,
    Header,
    KeyValue,
    LeaseGrantResponse,
    RangeResponse,
    TxnResponse,
    WatchResponse,
)
from overlay.stores.etcd.protobuf import WireError, encode

HEADER = encode([(1, 7), (2, 8), (3, 42), (4, 3)])
ENTRY = encode([(1, b"k"), (2, 40), (3, 41), (4, 2), (5, b"v"), (6, 99)])

REQUESTS = [
    (messages.get(b"a"), "0a0161"),
    (messages.get(b"a", b"b"), "0a0161120162"),
    (messages.grant(86_400), "0880a305"),
    (messages.revoke(5), "0805"),
    (messages.absent(b"k"), "080010001a016b2000"),
    (messages.absent(b"k", b"l"), "080010001a016b2000820401" + "6c"),
    (messages.unmodified(b"k", 9), "080010021a016b3009"),
    (messages.put_if([], b"k", b"v", 0), "1208" + "1206" + "0a016b120176"),
    (messages.put_if([b"\x08\x00"], b"k", b"v", 5), "0a020800" + "120a1208" + "0a016b1201761805"),
    (messages.delete_if([], b"k"), "1205" + "1a03" + "0a016b"),
    (messages.watch(b"a", b"b", 3), "0a0a" + "0a0161" + "120162" + "1803" + "2001"),
    (messages.ask_progress(), "1a00"),
    (messages.authenticate("u", "p"), "0a0175120170"),
]


@pytest.mark.parametrize(("request_", "expected"), REQUESTS)
def test_a_request_has_etcds_bytes(request_: bytes, expected: str) -> None:
    assert request_.hex() == expected


def test_answers_are_read() -> None:
    assert Header.parse(HEADER) == Header(7, 42, 3)
    assert KeyValue.parse(ENTRY) == KeyValue(b"k", b"v", 40, 41, 99)
    assert RangeResponse.parse(encode([(1, HEADER), (2, ENTRY), (4, 1)])).entries == (KeyValue.parse(ENTRY),)
    assert TxnResponse.parse(encode([(1, HEADER), (2, 1)])) == TxnResponse(Header(7, 42, 3), done=True)
    assert LeaseGrantResponse.parse(encode([(1, HEADER), (2, 99), (3, 60)])) == LeaseGrantResponse(99, 60)
    assert messages.token(encode([(2, b"t.1")])) == "t.1"


def test_news_of_a_watch_are_read() -> None:
    data = encode([(11, encode([(1, 1), (2, ENTRY)])), (1, HEADER), (3, 1), (4, 1), (5, 6), (6, b"why")])
    change = Event(gone=True, entry=KeyValue.parse(ENTRY))
    assert WatchResponse.parse(data) == WatchResponse(Header(7, 42, 3), True, True, 6, "why", (change,))


@given(
    st.binary(max_size=80),
    st.sampled_from(
        [RangeResponse.parse, TxnResponse.parse, LeaseGrantResponse.parse, WatchResponse.parse, messages.token]
    ),
)
def test_no_bytes_raise_anything_else(data: bytes, parse: Callable[[bytes], object]) -> None:
    try:
        parse(data)
    except WireError:
        return
