"""Claims: whatever is damaged of what our parsers read, they answer or refuse as documented, in time; the campaign notices one that does not.

The same cases every time; `make attack` draws more.
"""

import random

import pytest

from tests.attack import parsers
from tests.attack.figures import Budget
from tests.attack.parsers import Target

CASES = 15_000


def test_every_damaged_input_is_answered_or_refused() -> None:
    figures = parsers.campaign(Budget(seconds=300, seed=1, cases=CASES))

    assert (figures.broken, figures.tried, figures.held) == ([], CASES, CASES)


def crashes(data: bytes) -> None:
    if b"\xff" in data:
        raise KeyError("lost")


def test_what_is_raised_unexpectedly_is_noticed() -> None:
    target = Target("fragile", crashes, [b"good"], (ValueError,))

    assert parsers._tried(target, b"good") == ""
    assert parsers._tried(target, b"\xff") == "KeyError: 'lost'"


def test_what_does_not_end_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsers, "SLOWEST", 0.01)

    def endless(_: bytes) -> None:
        while True:
            pass

    assert parsers._tried(Target("endless", endless, [b""], ()), b"") == "no end"


def test_a_case_is_the_same_every_time() -> None:
    target = Target("any", len, [b'{"a": [1, {"b": null}]}'], (), is_json=True)

    drawn = [[parsers.damaged(target, random.Random(f"1 {number}")) for number in range(50)] for _ in range(2)]

    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) > 30
