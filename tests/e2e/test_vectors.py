"""Claims: the built programs answer every vector as the entry points do in process.

Not covered: vectors of the test's own programs, which are not built.
"""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.vectors.reading import Answer, Vector, play, vectors

BUILT = [vector for vector in vectors() if vector.program not in ("echo", "relay")]


@pytest.mark.parametrize("vector", BUILT, ids=str)
def test_the_built_program_gives_the_same_answer(
    vector: Vector, tmp_path: Path, program: Callable[[str], Path]
) -> None:
    def serve(name: str, environ: Mapping[str, str], stdin: bytes) -> Answer:
        done = subprocess.run([program(name)], env=environ, input=stdin, capture_output=True, check=False, timeout=60)
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())

    play(vector, tmp_path, serve)
