"""Claims: whichever system call of a cold ADD or DEL fails, the answer is right and a DEL leaves nothing (tests/attack/inject.py says what is right).

A sample, the same every time: one fault of many kinds of calls of every program. `make attack` tries more.
"""

import os

import pytest

from tests.attack import inject
from tests.attack.figures import Budget

FAULTS = 40

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 and "CI" not in os.environ, reason="an ordinary user cannot trace what becomes root"
)


def test_no_fault_of_a_moment_breaks_a_promise() -> None:
    figures = inject.campaign(Budget(seconds=300, seed=1, cases=FAULTS))

    assert figures.broken == []
    assert figures.tried == FAULTS
