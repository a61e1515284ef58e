"""Converts the text of a setting to a value; each reader raises ValueError saying what to write instead."""

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

TRUE, FALSE = ("1", "t", "true"), ("0", "f", "false")


def number(lowest: int, highest: int) -> Callable[[str], int]:
    """Read a whole number within bounds."""

    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not lowest <= int(text) <= highest:
            raise ValueError(f"write a whole number from {lowest} to {highest}")
        return int(text)

    return read


def boolean(text: str) -> bool:
    """Read a boolean as Go's flags have it."""
    if text.lower() not in (*TRUE, *FALSE):
        raise ValueError("write true or false")
    return text.lower() in TRUE


def address(kind: type[IPv4Address | IPv6Address] | None = None) -> Callable[[str], str]:
    """Read an IP address, of one family if that is given."""

    def read(text: str) -> str:
        address = _parsed(text)
        if address is None or (kind is not None and not isinstance(address, kind)):
            example = "2001:db8::1" if kind is IPv6Address else "192.0.2.1"
            raise ValueError(f"write an address like {example}")
        return str(address)

    return read


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def cidr(text: str) -> str:
    """Read a network, or an address as one of its own."""
    try:
        return str(ip_network(text))
    except ValueError:
        raise ValueError("write a network like 192.0.2.0/24, or an address") from None


def regex(text: str) -> str:
    """Check a regular expression."""
    try:
        re.compile(text)
    except re.error as problem:
        raise ValueError(f"not a regular expression: {problem}") from None
    return text


def link_name(text: str) -> str:
    """Check the name of a network device."""
    if not re.fullmatch(r"[^\s/:]{1,15}", text) or text in (".", ".."):
        raise ValueError("a link's name has 1 to 15 characters, no blank, slash or colon")
    return text


def choice(*words: str) -> Callable[[str], str]:
    """Take one of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"write one of: {', '.join(words)}")
        return text

    return read
