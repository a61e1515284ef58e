"""Claims, each by a sample that is the same every time; `make attack` tries more:

- of what tests/attack/overlay.py tries on a network of built programs nothing gets through, and without the guards some of each kind does
- whoever and whatever gets in the way on a host, by tests/attack/local.py, programs end in words and seconds, and serve those they should
- whatever system call of tests/attack/kills.py a command is killed at, the same command again ends well, and nothing half-made stays
"""

import os

import pytest

from tests.attack import kills, local, overlay
from tests.attack.figures import Budget

CASES, STRANGE, KILLS = 120, 40, 24
KINDS = ("bridge: ", "vxlan IPv4: ", "vxlan IPv6: ")

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 and "CI" not in os.environ, reason="only root enters the namespaces of the lab in this process"
)


def test_no_attack_on_the_overlay_gets_through() -> None:
    figures = overlay.campaign(Budget(seconds=120, seed=1, cases=CASES))

    assert figures.broken == []
    assert figures.tried == CASES


def test_some_of_each_kind_gets_through_without_the_guards() -> None:
    with overlay.staged("vxlan", guarded=False) as stage:
        cases = overlay.drawn(stage, 1)
        for kind in KINDS:
            assert any(case.gets_through() for case in cases if case.words.startswith(kind)), kind


def test_no_stranger_and_no_odd_file_gets_in_the_way() -> None:
    figures = local.campaign(Budget(seconds=120, seed=1, cases=STRANGE))

    assert figures.broken == []
    assert figures.tried == STRANGE


def test_what_is_killed_anywhere_ends_well_the_next_time() -> None:
    figures = kills.campaign(Budget(seconds=120, seed=1, cases=KILLS))

    assert figures.broken == []
    assert figures.tried == KILLS
