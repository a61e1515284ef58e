"""Claims: peers stand in a set a family, extra networks merged beside them; a rule tests port, VNI and sender; the transaction makes
and replaces the table at once; order of elements and handles do not matter, anything else does; off means away; peers that come and
go are elements that come and go, and anything else replaces the table; from wish to wish the same.
"""

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from overlay import guard
from overlay.backends import Guard
from overlay.guard import Wish

TUNNEL = Guard(8472, 7, frozenset(map(ip_address, ("192.0.2.3", "192.0.2.2", "2001:db8::2"))))
WISH = Wish(TUNNEL, tuple(map(ip_network, ("198.51.100.0/25", "198.51.100.128/25", "203.0.113.7/32"))))
OFF = Wish(TUNNEL, armed=False)
HEAD = {"family": "inet", "name": "tulle-guard-7"}


def sets(wish: Wish) -> dict[str, Any]:
    return {one["set"]["name"]: one["set"].get("elem") for one in guard.table(wish) if "set" in one}


def test_peers_and_extra_networks_stand_in_sets() -> None:
    assert sets(WISH) == {
        "peers4": ["192.0.2.2", "192.0.2.3"],
        "allowed4": [{"prefix": {"addr": "198.51.100.0", "len": 24}}, "203.0.113.7"],
        "peers6": ["2001:db8::2"],
        "allowed6": None,
    }


def test_a_rule_tests_port_vni_and_sender() -> None:
    rule = next(one["rule"] for one in guard.table(WISH) if "rule" in one)
    tests = [(one["match"]["op"], one["match"]["right"]) for one in rule["expr"] if "match" in one]
    assert tests == [("==", 8472), ("==", 7), ("!=", "@peers4"), ("!=", "@allowed4")]
    assert rule["expr"][1]["match"]["left"] == {"payload": {"base": "th", "offset": 96, "len": 24}}


def test_a_transaction_makes_and_replaces_the_table_at_once() -> None:
    head = {"table": HEAD}
    assert guard.transaction(WISH)[:3] == [{"add": head}, {"delete": head}, {"add": head}]
    assert guard.transaction(OFF) == [{"add": head}, {"delete": head}]


def listing() -> list[dict[str, Any]]:
    table = [{kind: {**body, "handle": 3} for kind, body in one.items()} for one in guard.table(WISH)]
    for one in table:
        if "elem" in one.get("set", {}):
            one["set"]["elem"] = one["set"]["elem"][::-1]
    return [{"table": {**HEAD, "handle": 1}}, *table]


def test_order_of_elements_and_handles_do_not_matter() -> None:
    assert guard.changes(WISH, listing()) == []


@pytest.mark.parametrize("missing", range(1, 8))
def test_anything_that_is_missing_matters(missing: int) -> None:
    found = listing()
    del found[missing]
    assert guard.changes(WISH, found) == guard.transaction(WISH)


def test_off_means_away() -> None:
    assert guard.changes(OFF, listing()) == guard.transaction(OFF)
    assert guard.changes(OFF, []) == []


def replaced(*peers: str, **more: Any) -> Wish:
    return replace(WISH, tunnel=replace(TUNNEL, peers=frozenset(map(ip_address, peers))), **more)


def element(verb: str, name: str, *elements: Any) -> dict[str, Any]:
    return {verb: {"element": {"family": "inet", "table": "tulle-guard-7", "name": name, "elem": list(elements)}}}


OTHER = replaced("192.0.2.2", "192.0.2.9", "2001:db8::9")
EXCHANGE = [
    element("delete", "peers4", "192.0.2.3"),
    element("delete", "peers6", "2001:db8::2"),
    element("add", "peers4", "192.0.2.9"),
    element("add", "peers6", "2001:db8::9"),
]


def test_peers_come_and_go_as_elements() -> None:
    assert guard.changes(OTHER, listing()) == EXCHANGE


def test_extra_networks_come_and_go_as_elements() -> None:
    allowed = (ip_network("203.0.113.0/24"),)
    assert guard.changes(replace(WISH, allowed=allowed), listing()) == [
        element("delete", "allowed4", "203.0.113.7", {"prefix": {"addr": "198.51.100.0", "len": 24}}),
        element("add", "allowed4", {"prefix": {"addr": "203.0.113.0", "len": 24}}),
    ]


def test_from_wish_to_wish_the_elements_are_the_same() -> None:
    assert guard.step(WISH, OTHER) == EXCHANGE
    assert guard.step(WISH, WISH) == []


@pytest.mark.parametrize(
    "after", [OFF, replace(WISH, allowed=()), replace(WISH, tunnel=replace(TUNNEL, port=4789)), replaced(armed=False)]
)
def test_more_than_peers_is_no_step(after: Wish) -> None:
    assert guard.step(WISH, after) is None
