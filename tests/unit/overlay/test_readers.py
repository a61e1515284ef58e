"""Claims: each reader gives the value of what may be written, and says what to write instead of anything else."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from overlay import readers

GOOD = [
    (readers.number(1, 9), "9", 9),
    (readers.boolean, "T", True),
    (readers.boolean, "0", False),
    (readers.address(), "2001:DB8::1", "2001:db8::1"),
    (readers.address(IPv4Address), "192.0.2.1", "192.0.2.1"),
    (readers.cidr, "192.0.2.7", "192.0.2.7/32"),
    (readers.regex, "^eth", "^eth"),
    (readers.link_name, "tulle0", "tulle0"),
    (readers.choice("text", "json"), "json", "json"),
]
BAD = [
    (readers.number(1, 9), "10", "from 1 to 9"),
    (readers.number(1, 9), "1.0", "a whole number"),
    (readers.boolean, "yes", "true or false"),
    (readers.address(IPv6Address), "192.0.2.1", "like 2001:db8::1"),
    (readers.address(), "here", "like 192.0.2.1"),
    (readers.cidr, "192.0.2.7/24", "like 192.0.2.0/24"),
    (readers.regex, "(", "not a regular expression"),
    (readers.link_name, "..", "1 to 15 characters"),
    (readers.choice("text", "json"), "xml", "one of: text, json"),
]


@pytest.mark.parametrize(("read", "text", "value"), GOOD)
def test_what_may_be_written_is_read(read: Callable[[str], Any], text: str, value: object) -> None:
    assert read(text) == value


@pytest.mark.parametrize(("read", "text", "instead"), BAD)
def test_anything_else_is_told_what_to_write(read: Callable[[str], Any], text: str, instead: str) -> None:
    with pytest.raises(ValueError, match=instead):
        read(text)
