"""Claims: fields are written and read as protobuf's public encoding has them; what is written is read back the same; truncated or
senseless bytes raise WireError and nothing else; unknown fields are skipped.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlay.stores.etcd import protobuf
from overlay.stores.etcd.protobuf import Field, Message, WireError

VECTORS: list[tuple[list[Field], bytes]] = [
    ([(1, 150)], b"\x08\x96\x01"),  # the two examples of the public description
    ([(2, b"testing")], b"\x12\x07testing"),
    ([(1, -1)], b"\x08" + b"\xff" * 9 + b"\x01"),
    ([(64, b"")], b"\x82\x04\x00"),
    ([], b""),
]


@pytest.mark.parametrize(("fields", "data"), VECTORS)
def test_fields_have_the_public_encoding(fields: list[Field], data: bytes) -> None:
    assert protobuf.encode(fields) == data
    assert list(protobuf.decode(data)) == fields


@given(st.lists(st.tuples(st.integers(1, 2**28), st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=200))))
def test_what_is_written_is_read_back(fields: list[Field]) -> None:
    assert list(protobuf.decode(protobuf.encode(fields))) == fields


def test_defaults_are_not_written() -> None:
    assert protobuf.given((1, 0), (2, b""), (3, 5)) == b"\x18\x05"


def test_the_last_of_a_field_counts_and_others_are_skipped() -> None:
    message = Message(b"\x08\x01\x08\x02\x12\x01a\x12\x01b\x1d\x00\x00\x00\x00\x21" + bytes(8))
    assert (message.number(1), message.octets(2), message.every(2), message.number(9)) == (2, b"b", [b"a", b"b"], 0)


@pytest.mark.parametrize(
    "data", [b"\x08", b"\x08\xff", b"\x12\x05abc", b"\x0b", b"\x00", b"\x1d\x00", b"\x08" + b"\xff" * 11]
)
def test_bad_bytes_are_a_wire_error(data: bytes) -> None:
    with pytest.raises(WireError):
        Message(data)


def test_a_number_for_bytes_is_a_wire_error_and_so_the_other_way() -> None:
    with pytest.raises(WireError, match="field 1 is a number"):
        Message(b"\x08\x01").octets(1)
    with pytest.raises(WireError, match="field 2 is not a number"):
        Message(b"\x12\x00").number(2)
