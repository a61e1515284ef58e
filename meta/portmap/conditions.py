"""Translates conditions in nftables' language into JSON matches, so that no text of a user becomes a rule.

It knows the matches that restrict who may use a published port: addresses, ports, interfaces, marks and states. Others
are refused with their name.
"""

from __future__ import annotations

import re

from cni import addresses
from cni.errors import CniError, Code, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

TOKEN = re.compile(r'"[^"]*"|[{},]|[!=<>]=|[<>]|[^\s"{},!=<>]+')
NAME = re.compile(r"[A-Za-z0-9_.*-]{1,16}")
NUMBER = re.compile(r"0x[0-9a-fA-F]{1,8}|[0-9]{1,10}")
OPERATORS = {"==": "==", "eq": "==", "!=": "!=", "ne": "!=", "<": "<", ">": ">", "<=": "<=", ">=": ">="}
PAYLOADS = {
    "ip": ("saddr", "daddr"),
    "ip6": ("saddr", "daddr"),
    "tcp": ("sport", "dport"),
    "udp": ("sport", "dport"),
    "sctp": ("sport", "dport"),
    "th": ("sport", "dport"),
}
METAS = ("iifname", "oifname", "mark", "l4proto")
KNOWN = "ip|ip6 saddr|daddr, tcp|udp|sctp|th sport|dport, [meta] iifname|oifname|mark|l4proto, ct state|mark"

Match = dict[str, "Any"]


class _Words:
    """The words of one list of conditions, taken one after the other."""

    def __init__(self, texts: Sequence[str], key: str) -> None:
        self.text = " ".join(texts)
        self.key = key
        self._left: list[str] = TOKEN.findall(self.text)
        if "".join(self._left) != re.sub(r"\s+", "", self.text) and '"' not in self.text:
            self.refuse(self.text)

    def peek(self) -> str:
        return self._left[0] if self._left else ""

    def take(self) -> str:
        if not self._left:
            self.refuse("its end")
        return self._left.pop(0)

    def refuse(self, word: str) -> NoReturn:
        raise CniError(
            Code.INVALID_CONFIG,
            f'invalid value of "{self.key}": cannot read {quoted(word)} in {quoted(self.text)}',
            f"expected matches like: ip saddr != 192.0.2.0/24; known are {KNOWN}",
        )


def parse(texts: Sequence[str], key: str, family: int) -> list[Match]:
    """Return the matches for `texts`, the list `key` of the configuration for IP version `family`.

    Raises CniError 7 for what it does not know, and for addresses of the other family.
    """
    words = _Words(texts, key)
    matches = []
    while words.peek():
        left, kind = _left(words, family)
        operator = OPERATORS[words.take()] if words.peek() in OPERATORS else None
        matches.append({"match": {"op": operator or "==", "left": left, "right": _right(words, kind)}})
    return matches


def _left(words: _Words, family: int) -> tuple[dict[str, Any], str]:
    """Return the left side of a comparison, and the kind of values it takes."""
    first = words.take()
    if first in PAYLOADS:
        field = words.take()
        if field not in PAYLOADS[first] or first == ("ip6" if family == 4 else "ip"):
            words.refuse(f"{first} {field}")
        return {"payload": {"protocol": first, "field": field}}, "address" if first.startswith("ip") else "number"
    if first == "ct":
        field = words.take()
        if field not in ("state", "mark"):
            words.refuse(f"{first} {field}")
        return {"ct": {"key": field}}, "name" if field == "state" else "number"
    field = words.take() if first == "meta" else first
    if field not in METAS:
        words.refuse(field)
    return {"meta": {"key": field}}, "number" if field == "mark" else "name"


def _right(words: _Words, kind: str) -> Any:
    word = words.take()
    if word != "{":
        return _value(words, word, kind)
    members = []
    while (word := words.take()) != "}":
        if word != ",":
            members.append(_value(words, word, kind))
    if not members:
        words.refuse("{ }")
    return {"set": members}


def _value(words: _Words, word: str, kind: str) -> Any:
    try:
        if kind == "address":
            return _address(word)
        if kind == "number":
            ends = [_number(end) for end in word.split("-", 1)]
            return {"range": ends} if len(ends) == 2 else ends[0]
        return _name(word)
    except ValueError:
        words.refuse(word)


def _address(word: str) -> Any:
    if "-" in word:
        return {"range": [str(addresses.parse_address(end)) for end in word.split("-", 1)]}
    if "/" not in word:
        return str(addresses.parse_address(word))
    network = addresses.parse_interface(word).network
    return {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}


def _number(word: str) -> int:
    if not NUMBER.fullmatch(word):
        raise ValueError(word)
    return int(word, 0) if word.startswith("0x") else int(word)


def _name(word: str) -> str:
    name = word.strip('"')
    if not NAME.fullmatch(name):
        raise ValueError(word)
    return name
