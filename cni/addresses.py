"""Reads IP and MAC addresses as Go does, so that the reference and these programs accept the same configuration.

Python's ipaddress accepts more in three places (zones, netmasks after the slash, a missing prefix) and treats
IPv4-mapped addresses as IPv6 (docs/reference/cni.md 1.7, 8 trap 3).
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

TYPE_CHECKING = False
if TYPE_CHECKING:
    from system.ip import IPAddress, IPInterface

MAPPED_BITS = 96
"""How much of an IPv6 address the prefix ::ffff:0:0 of IPv4-mapped ones takes (RFC 4291, 2.5.5.2)."""

REMEMBERED = 256
"""How many texts' values are kept: a warm worker reads the same configurations again and again."""

MAC = "six hex pairs like 02:00:00:00:00:01"
HEX = frozenset("0123456789abcdef")


@lru_cache(REMEMBERED)
def parse_address(text: str) -> IPAddress:
    """Return the address `text` names; an IPv4-mapped IPv6 one comes back as IPv4.

    Raises ValueError for anything else, leading zeros, zones and prefixes included.
    """
    if "%" in text:
        raise ValueError(f"{text!r} carries a zone: write the address alone")
    if ":" not in text:
        return IPv4Address(text)
    address = IPv6Address(text)
    return address.ipv4_mapped or address


@lru_cache(REMEMBERED)
def parse_interface(text: str) -> IPInterface:
    """Return the address and prefix that `text` (address/length) names, host bits kept.

    Raises ValueError without a length, for a netmask in its place, and for what parse_address refuses.
    """
    host, slash, length = text.partition("/")
    if not slash or not (length.isascii() and length.isdigit()) or len(length) > 3:
        raise ValueError(f"{text!r} is no address/length such as 10.1.0.5/24")
    address = parse_address(host)
    if isinstance(address, IPv6Address):
        return IPv6Interface((address, int(length)))
    return IPv4Interface((address, int(length) - (MAPPED_BITS if ":" in host else 0)))


def parse_mac(text: str) -> str:
    """Return a MAC as the kernel prints it; hyphens, and dots between groups of four, are read as well. Raises ValueError."""
    separator = next((each for each in ":-." if each in text), ":")
    groups = text.lower().split(separator)
    digits = "".join(groups)
    sizes = {len(group) for group in groups}
    if sizes != {4 if separator == "." else 2} or len(digits) != 12 or not HEX.issuperset(digits):
        raise ValueError(f"{text!r} is no MAC address: {MAC}")
    return ":".join(digits[place : place + 2] for place in range(0, 12, 2))
