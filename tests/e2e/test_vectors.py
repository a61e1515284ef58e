"""Claims: the built programs answer as the entry points do in process, for the first vector of each program in a file and
every seventh of the rest.

Not covered: vectors of the test's own programs, which are not built.
"""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.vectors.reading import Answer, Vector, play, vectors

BUILT = [vector for vector in vectors() if vector.program not in ("echo", "relay")]
STEP = 7


def sample() -> list[Vector]:
    firsts = {(vector.source, vector.program): str(vector) for vector in reversed(BUILT)}
    return [vector for number, vector in enumerate(BUILT) if number % STEP == 0 or str(vector) in firsts.values()]


@pytest.mark.parametrize("vector", sample(), ids=str)
def test_the_built_program_gives_the_same_answer(
    vector: Vector, tmp_path: Path, program: Callable[[str], Path]
) -> None:
    def serve(name: str, environ: Mapping[str, str], stdin: bytes) -> Answer:
        done = subprocess.run([program(name)], env=environ, input=stdin, capture_output=True, check=False, timeout=60)
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())

    play(vector, tmp_path, serve)
