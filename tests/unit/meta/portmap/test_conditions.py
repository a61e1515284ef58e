"""Claims about meta.portmap.conditions.

* What may restrict a published port is read, in one text or in many.
* Whatever else stands there is refused by name: verdicts, statements, other tables' sets, the other family's addresses.
"""

from typing import Any

import pytest

from cni.errors import CniError
from meta.portmap import conditions


def match(left: dict[str, Any], right: Any, operator: str = "==") -> dict[str, Any]:
    return {"match": {"op": operator, "left": left, "right": right}}


def payload(protocol: str, field: str) -> dict[str, Any]:
    return {"payload": {"protocol": protocol, "field": field}}


PREFIX = {"prefix": {"addr": "192.0.2.0", "len": 24}}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["ip saddr != 192.0.2.0/24"], [match(payload("ip", "saddr"), PREFIX, "!=")]),
        (["ip", "saddr", "192.0.2.9/24"], [match(payload("ip", "saddr"), PREFIX)]),
        (["ip saddr {192.0.2.1, 192.0.2.0/24}"], [match(payload("ip", "saddr"), {"set": ["192.0.2.1", PREFIX]})]),
        (["ip daddr 192.0.2.1-192.0.2.9"], [match(payload("ip", "daddr"), {"range": ["192.0.2.1", "192.0.2.9"]})]),
        (
            ['iifname "eth*"', "tcp sport >= 1024"],
            [match({"meta": {"key": "iifname"}}, "eth*"), match(payload("tcp", "sport"), 1024, ">=")],
        ),
        (
            ["meta mark != 0x10 ct state new"],
            [match({"meta": {"key": "mark"}}, 16, "!="), match({"ct": {"key": "state"}}, "new")],
        ),
        (["th dport 1-5"], [match(payload("th", "dport"), {"range": [1, 5]})]),
        ([], []),
    ],
)
def test_restrictions_are_read(texts: list[str], expected: list[dict[str, Any]]) -> None:
    assert conditions.parse(texts, "conditionsV4", 4) == expected


@pytest.mark.parametrize(
    "text",
    [
        "drop", "ip saddr 10.0.0.1 accept", "ip saddr 10.0.0.1; flush ruleset", "ip saddr @blocked", "ip saddr", "ip saddr !=",
        "ip saddr { }", "ip saddr { 10.0.0.1", "ip6 saddr ::1", "ip ttl 5", "tcp dport http", "tcp dport 1-2-3", 'iifname "a b"',
        "ip saddr 10.0.0.1 jump x", "ip saddr 010.0.0.1", "iifname eth0\nadd table x", "ct helper ftp", "meta skuid 0",
        'iifname "x" ; drop', "iifname aaaaaaaaaaaaaaaaaaaaa",
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(CniError, match='invalid value of "conditionsV4": cannot read'):
        conditions.parse([text], "conditionsV4", 4)


def test_the_other_familys_addresses_are_refused() -> None:
    assert conditions.parse(["ip6 saddr fc00::/7"], "conditionsV6", 6)
    with pytest.raises(CniError, match="conditionsV6"):
        conditions.parse(["ip saddr 10.0.0.1"], "conditionsV6", 6)
