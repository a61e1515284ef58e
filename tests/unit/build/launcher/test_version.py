"""Claims about the launcher's answer to VERSION:

- it is byte for byte what the Python program prints, for every program in the table
- stdin is not read, nothing is asked and nothing is started
- a name that is not in the table is the cold program's to judge
"""

import io
import os

import pytest

from bridge.program import PROGRAM as BRIDGE
from cni import skel
from cni.program import Program
from ipam.host_local import PROGRAM as HOST_LOCAL
from tests.lab.launchers import Launcher


def printed(program: Program) -> bytes:
    stdout = io.StringIO()
    skel.run(program, environ={"CNI_COMMAND": "VERSION"}, stdin=io.BytesIO(), stdout=stdout, stderr=io.StringIO())
    return stdout.getvalue().encode()


@pytest.mark.parametrize("program", [BRIDGE, HOST_LOCAL], ids=lambda program: program.name)
def test_the_answer_is_what_the_program_prints(program: Program, launcher: Launcher) -> None:
    called = launcher.bridge.with_name(program.name)
    if called != launcher.bridge:
        called.symlink_to("../lib/launcher")

    outcome = launcher.finish(launcher.start(launcher.environ("VERSION"), command=[called]), b"")

    assert (outcome.status, outcome.stdout, outcome.stderr) == (0, printed(program), "")
    assert outcome.cold == []


def test_stdin_is_left_alone(launcher: Launcher) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"{}")

    outcome = launcher.finish(launcher.start(launcher.environ("VERSION"), reading))

    assert outcome.stdout == printed(BRIDGE)
    assert os.read(reading, 9) == b"{}"
    os.close(reading)
    os.close(writing)


def test_an_unknown_name_is_left_to_the_cold_program(launcher: Launcher) -> None:
    other = launcher.bridge.with_name("other")
    other.symlink_to("../lib/launcher")

    outcome = launcher.finish(launcher.start(launcher.environ("VERSION"), command=[other]), b"")

    assert outcome.stdout == b"cold"
    assert [noted["argv"] for noted in outcome.cold] == [[str(other)]]
