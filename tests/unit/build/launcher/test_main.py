"""Claims about the launcher as a whole:

- without an agent the cold program gets the name, the arguments, the environment and stdin as the launcher got them
- it gets the descriptors 0, 1 and 2 and none of ours
- without CNI_COMMAND, a person started it: the cold program gets the caller's own stdin, unread
- descriptors that the caller left closed are filled, so that no file of ours becomes stdout
"""

import os
from pathlib import Path

import pytest

from tests.lab.launchers import CONFIG, Launcher, digest

CLOSE = "import os, sys; os.close(int(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"


def test_without_an_agent_the_cold_program_gets_everything(launcher: Launcher) -> None:
    environ = launcher.environ("ADD", CNI_ARGS="A=1", ODD="line\nend=", SAYS="{}", EXIT="7")

    outcome = launcher.finish(launcher.start(environ, command=[launcher.bridge, "argument"]), CONFIG)

    assert (outcome.status, outcome.stdout, outcome.stderr) == (7, b"{}", "")
    [cold] = outcome.cold
    assert cold["argv"] == [str(launcher.bridge), "argument"]
    assert cold["environ"] == [f"{name}={value}" for name, value in environ.items()]
    assert cold["stdin"] == digest(CONFIG)
    assert cold["descriptors"] == [0, 1, 2]


def test_a_name_that_is_no_path_is_handed_on_as_it_is(launcher: Launcher) -> None:
    command = ["/bin/sh", "-c", f"PATH={launcher.bridge.parent}; exec bridge"]

    outcome = launcher.finish(launcher.start(launcher.environ("DEL"), command=command), CONFIG)

    assert [noted["argv"] for noted in outcome.cold] == [["bridge"]]


@pytest.mark.parametrize("unset", [False, True], ids=["empty", "unset"])
def test_a_person_gets_the_cold_program_with_stdin_unread(unset: bool, launcher: Launcher, tmp_path: Path) -> None:
    environ = launcher.environ("")
    if unset:
        del environ["CNI_COMMAND"]
    reading, writing = os.pipe()

    outcome = launcher.finish(launcher.start({**environ, "READ": "0"}, reading))

    assert outcome.stdout == b"cold"
    assert outcome.cold[0]["inode"] == os.fstat(reading).st_ino
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("verb", ["ADD", "VERSION"])
@pytest.mark.parametrize("closed", ["0", "1", "2"])
def test_closed_descriptors_are_filled(closed: str, verb: str, launcher: Launcher) -> None:
    command = ["/usr/bin/python3", "-ISc", CLOSE, closed, str(launcher.bridge)]

    outcome = launcher.finish(launcher.start(launcher.environ(verb), command=command), None)

    assert outcome.status == 0
    assert (outcome.stdout == b"") == (closed == "1")
    assert [noted["descriptors"] for noted in outcome.cold] == ([[0, 1, 2]] if verb == "ADD" else [])
