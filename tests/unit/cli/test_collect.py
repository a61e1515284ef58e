"""Claims about how `tulle gc` tells what it did, and whose a rule is that names no interface; what it removes: tests/e2e/test_gc.py."""

import pytest

from cli import collect
from cli.collect import Outcome
from cli.main import main
from cli.remains import DEAD, Remain
from cni.errors import CniError, Code
from cni.owner import Owner

NAMELESS, NAMED = Owner("net", "id", ""), Owner("net", "id", "net1")


def test_each_thing_has_a_line_with_whose_it_was_and_why() -> None:
    told = [Outcome("address 10.42.7.2", "net/id/eth0", "removed", "its link on the host is gone")]
    assert collect._lines(told) == ["removed: address 10.42.7.2 of net/id/eth0: its link on the host is gone"]


def test_nothing_left_over_is_said() -> None:
    assert collect._lines([]) == ["nothing is left over"]


def test_a_rule_without_an_interface_takes_that_of_the_container_s_other_traces() -> None:
    left = [Remain("rule", NAMELESS, DEAD, ""), Remain("address 10.42.7.2", NAMED, DEAD, "")]
    assert collect._whole(NAMELESS, left) == NAMED


def test_a_rule_alone_is_taken_for_the_usual_interface_s() -> None:
    assert collect._whole(NAMELESS, []) == Owner("net", "id", "eth0")


def test_what_could_not_be_removed_says_why_in_place_of_the_verdict() -> None:
    def refuse() -> None:
        raise CniError(Code.IO_FAILURE, "no disk", "mount it")

    outcome = collect._ended(Remain("address 10.42.7.2", NAMED, DEAD, "gone"), collect._problem(refuse))
    assert (outcome.outcome, outcome.reason) == ("failed", "no disk: mount it")


def test_a_setting_that_tulled_would_refuse_is_refused_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gc", "--settings-file", "/dev/null", "--", "--store", "paper"]) == 1
    assert "tulle gc: " in capsys.readouterr().err
