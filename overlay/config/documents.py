"""Typed reading of JSON objects that others wrote; every refusal names the path of the wrong member.

It reads as Go's encoding/json does (docs/reference/flannel.md 1 and 12): names of members match in any case, unknown
members are ignored, the last of several equal members wins, null counts as absent.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NoReturn

from overlay.errors import Refused

DEEPEST = 100
"""How many objects and lists may lie in each other; flannel's own are four."""


@dataclass(frozen=True, slots=True)
class Section:
    """One JSON object and where it stands: `where` is a file or store key, `path` the members down to it."""

    members: Mapping[str, Any]
    """The members as decoded."""
    where: str = ""
    """The file or store key it is from, for errors."""
    path: str = ""
    """The members that lead to it, like `Backend`; empty for the whole document."""

    def raw(self, key: str) -> Any:
        """Return the member's value as decoded, None when absent or null; the last of several spellings wins."""
        found = [value for name, value in self.members.items() if name.lower() == key.lower()]
        return found[-1] if found else None

    def refusal(self, key: str, problem: str, remedy: str) -> Refused:
        """Make the error for one member: path, value and remedy in one sentence."""
        shown = json.dumps(self.raw(key), ensure_ascii=False)
        return Refused(f"{self.at(key)} is {shown[:120]}: {problem}", where=self.where, remedy=remedy)

    def at(self, key: str) -> str:
        """Return the path of a member, `Backend.VNI`."""
        return f"{self.path}.{key}" if self.path else key

    def text(self, key: str, default: str = "") -> str:
        """Return a string member."""
        value = self.raw(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.refusal(key, "not a string", 'write it in quotes, "..."')
        return value

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return a boolean member."""
        value = self.raw(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.refusal(key, "not a boolean", "write true or false, without quotes")
        return value

    def number(self, key: str, default: int, *, lowest: int, highest: int) -> int:
        """Return an integer member within `lowest` and `highest`, both included."""
        value = self.raw(key)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise self.refusal(key, "not a number in range", f"write a whole number from {lowest} to {highest}")
        return value

    def section(self, key: str) -> "Section | None":
        """Return an object member, None when absent."""
        value = self.raw(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.refusal(key, "not an object", "write {...}")
        return Section(value, self.where, self.at(key))

    def sections(self, key: str) -> "tuple[Section, ...]":
        """Return a list of objects, empty when absent."""
        value = self.raw(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise self.refusal(key, "not a list of objects", "write [{...}, ...]")
        return tuple(Section(one, self.where, f"{self.at(key)}[{index}]") for index, one in enumerate(value))

    def ipv4(self, key: str) -> IPv4Address | None:
        """Return an IPv4 address member, None when absent."""
        value = self.text(key)
        address = _address(value) if value else None
        if value and not isinstance(address, IPv4Address):
            raise self.refusal(key, "not an IPv4 address", "write one like 192.0.2.1")
        return address if isinstance(address, IPv4Address) else None

    def ipv6(self, key: str) -> IPv6Address | None:
        """Return an IPv6 address member, None when absent."""
        value = self.text(key)
        address = _address(value) if value else None
        if value and not isinstance(address, IPv6Address):
            raise self.refusal(key, "not an IPv6 address", "write one like 2001:db8::1")
        return address if isinstance(address, IPv6Address) else None

    def ipv4_network(self, key: str) -> IPv4Network | None:
        """Return an IPv4 CIDR member, host bits masked off as flannel does; None when absent."""
        value = self.text(key)
        network = _network(value) if value else None
        if value and not isinstance(network, IPv4Network):
            raise self.refusal(key, "not an IPv4 network", "write it as address/length, like 10.42.0.0/16")
        return network if isinstance(network, IPv4Network) else None

    def ipv6_network(self, key: str) -> IPv6Network | None:
        """Return an IPv6 CIDR member, host bits masked off; None when absent."""
        value = self.text(key)
        network = _network(value) if value else None
        if value and not isinstance(network, IPv6Network):
            raise self.refusal(key, "not an IPv6 network", "write it as address/length, like fd00:42::/48")
        return network if isinstance(network, IPv6Network) else None


def parse(text: str | bytes, where: str) -> Section:
    """Read one JSON object; `where` names its file or store key in errors.

    Raises Refused when the text is not UTF-8, not JSON, too deep, or not an object.
    """
    try:
        document = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as problem:
        reason = "nested too deeply" if isinstance(problem, RecursionError) else str(problem)
        raise Refused(
            f"not JSON: {reason}", where=where, remedy="see that the file is whole and has no comments"
        ) from None
    if _is_deep(document):
        raise Refused("not JSON: nested too deeply", where=where, remedy=f"{DEEPEST} levels are enough for anything")
    if not isinstance(document, dict):
        raise Refused("not a JSON object", where=where, remedy='write {"Network": "10.42.0.0/16", ...}')
    return Section(document, where)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _is_deep(document: Any) -> bool:
    """Return whether a document is nested deeper than DEEPEST: json reads more, from Python 3.12 on, than it and others can write."""
    layer = [document]
    for _ in range(DEEPEST):
        layer = [one for each in layer for one in _inside(each)]
        if not layer:
            return False
    return True


def _inside(document: Any) -> Iterable[Any]:
    return document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.scope_id:
        return None
    return address


def _network(text: str) -> IPv4Network | IPv6Network | None:
    if "/" not in text or not text.rpartition("/")[2].isascii() or not text.rpartition("/")[2].isdigit():
        return None
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
