"""Claims: each reader gives the value of what may be written, and says what to write instead of anything else."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from overlay.config import option_types

GOOD = [
    (option_types.number(1, 9), "9", 9),
    (option_types.boolean, "T", True),
    (option_types.boolean, "0", False),
    (option_types.address(), "2001:DB8::1", "2001:db8::1"),
    (option_types.address(IPv4Address), "192.0.2.1", "192.0.2.1"),
    (option_types.cidr, "192.0.2.7", "192.0.2.7/32"),
    (option_types.regex, "^eth", "^eth"),
    (option_types.link_name, "tulle0", "tulle0"),
    (option_types.choice("text", "json"), "json", "json"),
]
BAD = [
    (option_types.number(1, 9), "10", "from 1 to 9"),
    (option_types.number(1, 9), "1.0", "a whole number"),
    (option_types.boolean, "yes", "true or false"),
    (option_types.address(IPv6Address), "192.0.2.1", "like 2001:db8::1"),
    (option_types.address(), "here", "like 192.0.2.1"),
    (option_types.cidr, "192.0.2.7/24", "like 192.0.2.0/24"),
    (option_types.regex, "(", "not a regular expression"),
    (option_types.link_name, "..", "1 to 15 characters"),
    (option_types.choice("text", "json"), "xml", "one of: text, json"),
]


@pytest.mark.parametrize(("read", "text", "value"), GOOD)
def test_what_may_be_written_is_read(read: Callable[[str], Any], text: str, value: object) -> None:
    assert read(text) == value


@pytest.mark.parametrize(("read", "text", "instead"), BAD)
def test_anything_else_is_told_what_to_write(read: Callable[[str], Any], text: str, instead: str) -> None:
    with pytest.raises(ValueError, match=instead):
        read(text)
