"""Claims: the built programs answer every vector as the entry points do in process, and so does a warm agent.

Not covered: vectors of the test's own programs, which are not built.
"""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from agent.protocol import Reason
from tests.lab import warm
from tests.lab.asking import Question
from tests.lab.warm import Agent
from tests.vectors.reading import Answer, Server, Vector, play, vectors

BUILT = [vector for vector in vectors() if vector.program not in ("echo", "relay")]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("an agent needs root")
    with warm.agent(tmp_path_factory.mktemp("agent"), "--workers", "1") as running:
        yield running


@pytest.fixture
def cold(program: Callable[[str], Path]) -> Server:
    def serve(name: str, environ: Mapping[str, str], stdin: bytes) -> Answer:
        alone = {**environ, "TULLE_AGENT": ""}
        done = subprocess.run([program(name)], env=alone, input=stdin, capture_output=True, check=False, timeout=60)
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())

    return serve


@pytest.mark.parametrize("vector", BUILT, ids=str)
def test_the_built_program_gives_the_same_answer(vector: Vector, tmp_path: Path, cold: Server) -> None:
    play(vector, tmp_path, cold)


@pytest.mark.parametrize("vector", BUILT, ids=str)
def test_the_agent_gives_the_same_answer(vector: Vector, tmp_path: Path, agent: Agent, cold: Server) -> None:
    """What the agent declines is the cold program's, as the launcher would have it."""

    def serve(name: str, environ: Mapping[str, str], stdin: bytes) -> Answer:
        told = agent.ask(Question(name, environ, stdin))
        if told.reason in (Reason.RELATIVE.value, Reason.OWN.value):
            return cold(name, environ, stdin)
        assert told.status is not None, told
        return Answer(told.status, told.stdout.decode(), told.stderr.decode())

    play(vector, tmp_path, serve)
