"""Claims: every vector of tests/vectors holds for a program that is run as a delegate, in the process of its caller; a child gives
the same answers, stderr included, for the first vector of each program in a file.

`front` delegates whatever it is asked to the program the vector is about. Not covered here: the built programs (tests/e2e).
"""

import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import bridge.program
import ipam.host_local
import ipam.static
import main.loopback.program
import meta.firewall.program
import meta.portmap.program
from cni import invoke, skel
from cni.in_process import InProcessPrograms
from cni.program import Program
from cni.request import Request
from cni.types import Result
from tests.vectors.reading import Answer, Server, Vector, play, vectors

ROOT = Path(__file__).resolve().parents[3]
VERBS = ("ADD", "CHECK", "DEL", "GC", "STATUS")

MULTICALL = """#!{python} -I
import sys
sys.path.insert(0, {root!r})
import bridge.program, ipam.host_local, ipam.static, main.loopback.program, meta.firewall.program, meta.portmap.program
from cni import skel
programs = (bridge.program, ipam.host_local, ipam.static, main.loopback.program, meta.firewall.program, meta.portmap.program)
skel.main({{each.PROGRAM.name: each.PROGRAM for each in programs}}[sys.argv[0].rpartition("/")[2]])
"""

LOADS: Mapping[str, Callable[[], Program]] = {
    "bridge": lambda: bridge.program.PROGRAM,
    "host-local": lambda: ipam.host_local.PROGRAM,
    "static": lambda: ipam.static.PROGRAM,
    "loopback": lambda: main.loopback.program.PROGRAM,
    "firewall": lambda: meta.firewall.program.PROGRAM,
    "portmap": lambda: meta.portmap.program.PROGRAM,
}
SHIPPED = [vector for vector in vectors() if vector.program in LOADS]
FIRSTS = list({(vector.source, vector.program): vector for vector in reversed(SHIPPED)}.values())


def front(delegate: str) -> Program:
    def hand_on(request: Request) -> Result:
        return invoke.delegate(request, delegate, request.command)

    return Program("front", lambda: dict.fromkeys(VERBS, hand_on), about=LOADS[delegate]().about)


@pytest.fixture(scope="module")
def multicall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One executable that starts every program, by the name it is called by."""
    path = tmp_path_factory.mktemp("lib") / "multicall"
    path.write_text(MULTICALL.format(python=sys.executable, root=str(ROOT)))
    path.chmod(0o755)
    return path


def served(directory: Path, in_process: InProcessPrograms | None) -> tuple[Server, list[Answer]]:
    answers: list[Answer] = []

    def serve(name: str, environ: Mapping[str, str], stdin: bytes) -> Answer:
        out, err = io.StringIO(), io.StringIO()
        status = skel.run(
            front(name), environ=environ, stdin=io.BytesIO(stdin), stdout=out, stderr=err, in_process=in_process
        )
        answers.append(Answer(status, *(each.getvalue().replace(str(directory), "DIR") for each in (out, err))))
        return Answer(status, out.getvalue(), err.getvalue())

    return serve, answers


@pytest.mark.parametrize("vector", SHIPPED, ids=str)
def test_the_vector_holds_for_a_delegate_in_process(vector: Vector, tmp_path: Path, multicall: Path) -> None:
    (tmp_path / vector.program).symlink_to(multicall)
    serve, _ = served(tmp_path, InProcessPrograms(LOADS, [str(multicall)]))
    play(vector, tmp_path, serve)


@pytest.mark.parametrize("vector", FIRSTS, ids=str)
def test_a_child_gives_the_same_answers(vector: Vector, tmp_path: Path, multicall: Path) -> None:
    told = []
    for in_process in (InProcessPrograms(LOADS, [str(multicall)]), None):
        directory = tmp_path / ("child" if in_process is None else "here")
        directory.mkdir()
        (directory / vector.program).symlink_to(multicall)
        serve, answers = served(directory, in_process)
        play(vector, directory, serve)
        told.append(answers)
    assert told[0] == told[1]
