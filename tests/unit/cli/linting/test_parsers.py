"""Claims: every refusal of every concerned parser is told once, at the place as it was written, without what only follows
from another; what schemas already found is not told again.

Not covered: what parsers refuse (their own tests).
"""

from typing import Any

import pytest

from cli.linting import parsers
from cli.linting.finding import Place

BASE: dict[str, Any] = {"cniVersion": "1.0.0", "name": "net", "type": "bridge"}


def config(*pools: list[dict[str, str]], **keys: Any) -> dict[str, Any]:
    return {**BASE, "ipam": {"type": "host-local", "ranges": list(pools)}, **keys}


GOOD = [{"subnet": "10.1.0.0/24"}]
OUTSIDE = [{"subnet": "10.2.0.0/24", "rangeStart": "10.9.0.1"}]
BEYOND = [{"subnet": "10.3.0.0/24", "rangeEnd": "10.9.0.1"}]


def told(document: dict[str, Any], *known: Place) -> list[tuple[str, str]]:
    return [(each.path, each.problem) for each in parsers.mistakes(document, known)]


def test_a_good_configuration_has_no_mistakes() -> None:
    assert told(config(GOOD)) == []


def test_each_refusal_is_told_at_its_place_as_written() -> None:
    assert told(config(OUTSIDE, GOOD, BEYOND)) == [
        ("$.ipam.ranges[0][0]", "RangeStart 10.9.0.1 not in network 10.2.0.0/24"),
        ("$.ipam.ranges[2][0]", "RangeEnd 10.9.0.1 not in network 10.3.0.0/24"),
    ]


def test_two_programs_are_asked() -> None:
    assert [path for path, _ in told(config(OUTSIDE, mtu="x"))] == ["$.mtu", "$.ipam.ranges[0][0]"]


@pytest.mark.parametrize(
    ("document", "known"),
    [
        (config([{"subnet": "junk"}]), ("ipam", "ranges", 0, 0, "subnet")),
        (config(GOOD, mtu="x"), ("mtu",)),
        ({**BASE, "ipam": {"type": "host-local", "subnet": 5}}, ("ipam", "subnet")),
        (config(GOOD, name="a b"), ("name",)),
    ],
)
def test_what_is_known_is_not_told_again_nor_what_follows_from_it(document: dict[str, Any], known: Place) -> None:
    assert told(document, known) == []


@pytest.mark.parametrize(
    ("document", "path", "problem"),
    [
        ({**BASE, "ipam": {"type": "host-local"}}, "$.ipam", "no IP ranges specified"),
        (config(GOOD, GOOD), "$.ipam", "range set 0 overlaps with 1"),
        (config(GOOD, cniVersion="9.9.9"), "$.cniVersion", "incompatible CNI versions"),
    ],
)
def test_a_refusal_without_a_place_gets_one(document: dict[str, Any], path: str, problem: str) -> None:
    assert told(document) == [(path, problem)]


def test_every_mistake_has_a_remedy() -> None:
    assert all(each.remedy for each in parsers.mistakes(config(OUTSIDE, GOOD, GOOD, mtu=-1), ()))


def test_programs_of_others_are_not_judged() -> None:
    assert told({**BASE, "type": "macvlan", "mtu": "x"}) == []
