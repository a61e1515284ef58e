"""Claims: attributes read back as they were written, whatever their flags, also where a kind repeats; one that is cut short is refused; a message says its own
length and asks; a number that does not fit is a ValueError.
"""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.netlink import message

NLA_F_NESTED = 0x8000


@given(st.dictionaries(st.integers(0, message.KIND), st.binary(max_size=20)))
def test_attributes_read_back(written: dict[int, bytes]) -> None:
    data = b"".join(message.attribute(kind, value) for kind, value in written.items())
    assert message.attributes(data) == written
    assert len(data) % 4 == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=20))))
def test_attributes_that_repeat_read_back(written: list[tuple[int, bytes]]) -> None:
    assert message.attribute_list(b"".join(message.attribute(*each) for each in written)) == written


def test_flags_are_no_part_of_a_kind() -> None:
    assert message.attributes(message.attribute(NLA_F_NESTED | 18, b"abcd")) == {18: b"abcd"}


@pytest.mark.parametrize("data", [b"\x03\x00\x01\x00", b"\x08\x00\x01\x00", b"\x04\x00\x01\x00\x04"])
def test_an_attribute_cut_short_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, struct.error)):
        message.attributes(data)


def test_a_message_says_its_own_length_and_asks() -> None:
    data = message.message(16, message.NLM_F_DUMP, b"body", message.text(3, "lo"))
    assert message.HEADER.unpack_from(data) == (len(data), 16, message.NLM_F_DUMP | message.NLM_F_REQUEST, 0, 0)
    assert data[message.HEADER.size :] == b"body" + b"\x07\x00\x03\x00lo\0\0"


@pytest.mark.parametrize("value", [-1, 2**32])
def test_a_number_that_does_not_fit_is_a_value_error(value: int) -> None:
    with pytest.raises(ValueError, match="does not fit a netlink message"):
        message.number(1, value)
    with pytest.raises(ValueError, match="does not fit a netlink message"):
        message.octet(1, value)
