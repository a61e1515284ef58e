"""Claims about how `tulle gc` tells what it did, and whose a rule is that names no interface; what it removes: tests/e2e/test_gc.py."""

import pytest

from cli.commands import gc
from cli.commands.gc import Outcome
from cli.inspect.orphans import DEAD, Orphan
from cli.main import main
from cni.attachment_id import AttachmentID
from cni.errors import CniError, Code

NAMELESS, NAMED = AttachmentID("net", "id", ""), AttachmentID("net", "id", "net1")


def test_each_thing_has_a_line_with_whose_it_was_and_why() -> None:
    told = [Outcome("address 10.42.7.2", "net/id/eth0", "removed", "its link on the host is gone")]
    assert gc._lines(told) == ["removed: address 10.42.7.2 of net/id/eth0: its link on the host is gone"]


def test_nothing_left_over_is_said() -> None:
    assert gc._lines([]) == ["nothing is left over"]


def test_a_rule_without_an_interface_takes_that_of_the_container_s_other_traces() -> None:
    left = [Orphan("rule", NAMELESS, DEAD, ""), Orphan("address 10.42.7.2", NAMED, DEAD, "")]
    assert gc._whole(NAMELESS, left) == NAMED


def test_a_rule_alone_is_taken_for_the_usual_interface_s() -> None:
    assert gc._whole(NAMELESS, []) == AttachmentID("net", "id", "eth0")


def test_what_could_not_be_removed_says_why_in_place_of_the_verdict() -> None:
    def refuse() -> None:
        raise CniError(Code.IO_FAILURE, "no disk", "mount it")

    outcome = gc._ended(Orphan("address 10.42.7.2", NAMED, DEAD, "gone"), gc._problem(refuse))
    assert (outcome.outcome, outcome.reason) == ("failed", "no disk: mount it")


def test_a_setting_that_tulled_would_refuse_is_refused_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gc", "--settings-file", "/dev/null", "--", "--store", "paper"]) == 1
    assert "tulle gc: " in capsys.readouterr().err
