"""Claims: the programs that need no kernel answer every damaged request with one error or one result, never code 999, and a
refused ADD leaves nothing in the data directory; the judge notices a program that does not.

Bounded by EXAMPLES, about half a minute together with tests/netns/bridge/test_program. Not covered: resource exhaustion.
"""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

import ipam.host_local
import ipam.static
import main.loopback.program
from cni.program import Program
from tests.vectors.fuzzing import confined, judge, requests, serve
from tests.vectors.reading import Answer

EXAMPLES = 800
PROGRAMS = (ipam.host_local.PROGRAM, ipam.static.PROGRAM, main.loopback.program.PROGRAM)
ADD = {"CNI_COMMAND": "ADD"}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_every_answer_is_one_error_or_one_result(program: Program) -> None:
    @given(requests(program))
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def answered(asked: tuple[dict[str, str], bytes]) -> None:
        with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as places:
            confined(places, Path(name))
            environ, stdin = asked
            judge(serve(program, environ, stdin, Path(name)), environ, Path(name))

    answered()


@pytest.mark.parametrize(
    "told",
    [
        Answer(1, "", ""),
        Answer(1, "Traceback", ""),
        Answer(1, json.dumps({"cniVersion": "1.0.0", "code": 999, "msg": "a bug"}), ""),
        Answer(0, "", ""),
        Answer(0, "{}{}", ""),
    ],
)
def test_the_judge_notices_a_broken_promise(told: Answer, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, json.JSONDecodeError)):
        judge(told, ADD, tmp_path)


def test_the_judge_notices_what_a_refused_add_left(tmp_path: Path) -> None:
    (tmp_path / "10.1.0.2").write_text("c0ffee")
    with pytest.raises(AssertionError):
        judge(Answer(1, json.dumps({"cniVersion": "1.0.0", "code": 7, "msg": "bad"}), ""), ADD, tmp_path)
