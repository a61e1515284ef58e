"""Claims: one event is one line, in either form; nothing in a value can break a line or forge another; a topic is written when it
changes and once when it is well again; details need a wish; lines that could not be written are counted, and told of when lines can be written again.
"""

import io
import json
import os
from pathlib import Path

import pytest

from overlay.monitoring.log import Log
from system.stderr import Stderr


def log(out: io.StringIO, form: str = "text", *, verbose: bool = False) -> Log:
    return Log(out, clock=lambda: "now", form=form, verbose=verbose)


def test_an_event_is_one_line_of_key_and_value() -> None:
    log(out := io.StringIO()).info("lease acquired", subnet="10.42.1.0/24", peers=3)
    assert out.getvalue() == 'time=now level=info event="lease acquired" subnet=10.42.1.0/24 peers=3\n'


def test_a_log_about_something_says_so_in_every_line_and_keeps_its_own_topics() -> None:
    writer = log(out := io.StringIO())
    for name in ("/red", "/blue", "/blue"):
        writer.about(network=name).info("ready", peers=3)
    red, blue = (writer.about(network=name) for name in ("/red", "/blue"))
    for one in (red, blue, red):
        one.change("store", "warning", "away")
    lines = out.getvalue().splitlines()
    assert (len(lines), lines[0]) == (5, "time=now level=info event=ready network=/red peers=3")


def test_an_event_is_one_json_object() -> None:
    log(out := io.StringIO(), "json").warning("odd", peers=3, why=ValueError("x"))
    assert json.loads(out.getvalue()) == {"time": "now", "level": "warning", "event": "odd", "peers": 3, "why": "x"}


@pytest.mark.parametrize("value", ["a\nlevel=error", "a b", 'a"b', "", "\x1b[2J", "\u2028", "\ud800"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_value_breaks_a_line(form: str, value: str) -> None:
    log(out := io.StringIO(), form).info("event", value=value)
    assert out.getvalue().isascii()
    assert out.getvalue().count("\n") == 1


def test_a_topic_is_written_when_it_changes() -> None:
    writer = log(out := io.StringIO())
    for problem in ("a", "a", "b"):
        writer.change("tunnel", "error", "bad", problem=problem)
    assert [line.rpartition("=")[2] for line in out.getvalue().splitlines()] == ["a", "b"]


def test_a_topic_that_is_well_again_is_written_once() -> None:
    writer = log(out := io.StringIO())
    writer.settled("tunnel", "well")
    writer.change("tunnel", "error", "bad")
    writer.settled("tunnel", "well")
    writer.settled("tunnel", "well")
    assert out.getvalue().count("event=well") == 1


def test_details_are_written_when_asked_for() -> None:
    log(quiet := io.StringIO()).detail("x")
    log(loud := io.StringIO(), verbose=True).detail("x")
    assert (quiet.getvalue(), loud.getvalue()) == ("", "time=now level=detail event=x\n")


def test_lost_lines_are_told_of(tmp_path: Path) -> None:
    out = Stderr()
    writer = Log(out, clock=lambda: "now")
    kept = os.dup(2)
    try:
        os.dup2(os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC), 2)
        for event in ("one", "two"):
            writer.info(event)
        os.dup2(os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC), 2)
        for event in ("three", "four"):
            writer.info(event)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    events = [line.partition(" level=")[2] for line in (tmp_path / "log").read_text().splitlines()]
    assert events == [
        "info event=three",
        'warning event="log lines before the last one could not be written" lines=2',
        "info event=four",
    ]
