"""Claims: every vector of tests/vectors holds when the real entry points are called in process; the player notices a
wrong answer; the tables of the contract are all there.

Two programs stand in where no shipped one shows the behaviour: `echo` hands its prevResult on, as a chained program does,
and `relay` delegates whatever it is asked.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

import bridge.program
import ipam.host_local
import ipam.static
import main.loopback.program
import meta.bandwidth.program
import meta.firewall.program
import meta.portmap.program
import meta.tuning.program
from cni import invoke, skel
from cni.program import Program
from cni.request import Request
from cni.types import Result
from tests.vectors.reading import FOLDER, Answer, Vector, compare, play, vectors

VERBS = ("ADD", "CHECK", "DEL", "GC", "STATUS")


def _hand_on(request: Request) -> Result | None:
    return request.prev_result


def _delegate(request: Request) -> Result:
    section = request.config.section("ipam")
    return invoke.delegate(request, section.text("type") if section else "", request.command)


PROGRAMS = {
    "bridge": bridge.program.PROGRAM,
    "host-local": ipam.host_local.PROGRAM,
    "static": ipam.static.PROGRAM,
    "loopback": main.loopback.program.PROGRAM,
    "bandwidth": meta.bandwidth.program.PROGRAM,
    "firewall": meta.firewall.program.PROGRAM,
    "portmap": meta.portmap.program.PROGRAM,
    "tuning": meta.tuning.program.PROGRAM,
    "echo": Program("echo", lambda: dict.fromkeys(VERBS, _hand_on)),
    "relay": Program("relay", lambda: dict.fromkeys(VERBS, _delegate)),
}


def serve(program: str, environ: Mapping[str, str], stdin: bytes) -> Answer:
    stdout, stderr = io.StringIO(), io.StringIO()
    status = skel.run(PROGRAMS[program], environ=environ, stdin=io.BytesIO(stdin), stdout=stdout, stderr=stderr)
    return Answer(status, stdout.getvalue(), stderr.getvalue())


@pytest.mark.parametrize("vector", list(vectors()), ids=str)
def test_the_vector_holds_in_process(vector: Vector, tmp_path: Path) -> None:
    play(vector, tmp_path, serve)


def test_every_table_has_vectors() -> None:
    sections = {json.loads(path.read_text())["source"].split()[1] for path in FOLDER.glob("*.json")}
    assert sections >= {"1.2", "1.3", "1.5", "1.6", "1.7", "1.8", "1.9", "1.10", "2.1", "3.1", "3.3", "4.5", "4.6"}


@pytest.mark.parametrize(
    "expected",
    [
        {"exit": 0},
        {"exit": 1, "error": {"code": 7, "msg": "b"}},
        {"exit": 1, "error": {"code": 6, "msg": "bad"}},
        {"exit": 1, "error": {"code": 7, "msg": "bad", "details": "x"}},
        {"exit": 1, "error": {"code": 7, "msg": "x", "begins": True}},
    ],
)
def test_a_wrong_answer_is_noticed(expected: Mapping[str, object]) -> None:
    with pytest.raises(AssertionError, match="here"):
        compare(expected, Answer(1, json.dumps({"code": 7, "msg": "bad"}), ""), "here")
