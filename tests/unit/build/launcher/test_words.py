"""Claims about what the launcher prints:

- a stdout nobody reads is told on stderr, with exit code 1, for VERSION and for a worker's answer
- a stdout that does not block is waited for
- a stderr that takes nothing, a full disk, a pipe that is full or has no reader, neither ends the launcher nor holds it up for long
"""

import fcntl
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.lab.agents import Meeting
from tests.lab.launchers import CONFIG, Launcher
from tests.unit.build.launcher.conftest import Play


def answer(meeting: Meeting) -> None:
    assert meeting.take()
    meeting.answer(b"x" * 300_000)


@pytest.mark.parametrize("verb", ["VERSION", "ADD"])
def test_a_stdout_nobody_reads_is_told(verb: str, launcher: Launcher, play: Play) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with play(answer) as agent:
        outcome = launcher.finish(launcher.start(launcher.environ(verb, TULLE_AGENT=agent), stdout=writing), CONFIG)
        if verb == "VERSION":
            launcher.run("ADD", agent=agent)
    os.close(writing)

    undone = "tulle: the ADD was undone\n" if verb == "ADD" else ""
    assert (outcome.status, outcome.stderr) == (1, f"cannot deliver the answer: Broken pipe\n{undone}")


def test_a_full_disk_is_told(launcher: Launcher) -> None:
    with Path("/dev/full").open("wb") as full:
        outcome = launcher.finish(launcher.start(launcher.environ("VERSION"), stdout=full), b"")

    assert (outcome.status, outcome.stderr) == (1, "cannot deliver the answer: No space left on device\n")


def test_a_stdout_that_does_not_block_is_waited_for(launcher: Launcher, play: Play) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with play(answer) as agent, os.fdopen(reading, "rb") as stdout:
        process = launcher.start(launcher.environ("ADD", TULLE_AGENT=agent), stdout=writing)
        os.close(writing)
        assert process.stdin is not None
        process.stdin.write(CONFIG)
        process.stdin.close()
        process.stdin = None
        assert len(stdout.read()) == 300_000
        assert launcher.finish(process).status == 0


def talkative(meeting: Meeting) -> None:
    assert meeting.take()
    meeting.say(b"T")
    for _ in range(40):
        meeting.say(b"E\0" + b"x" * 4000 + b"\n")
    meeting.answer(b"{}")


@pytest.mark.parametrize("kind", ["full disk", "no reader", "full pipe"])
def test_a_stderr_that_takes_nothing_holds_nobody_up(kind: str, launcher: Launcher, play: Play) -> None:
    reading, writing = os.pipe()
    if kind == "full disk":
        writing = os.open("/dev/full", os.O_WRONLY)
    elif kind == "no reader":
        os.close(reading)
    else:
        os.write(writing, b"x" * fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ))
    with play(talkative) as agent:
        environ = launcher.environ("ADD", TULLE_AGENT=agent)
        started = time.monotonic()
        done = subprocess.run(
            [launcher.bridge], env=environ, input=CONFIG, stdout=subprocess.PIPE, stderr=writing, check=False
        )
    os.close(writing)

    assert (done.returncode, done.stdout) == (0, b"{}")
    assert time.monotonic() - started < 10
