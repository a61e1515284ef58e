"""Claims about inputs nobody should send: the launcher's files, under sanitizers, do with them what a second model says.

Agents' datagrams and descriptors, names and environments, configurations, and the words of refusals; `make fuzz` goes on for longer.
"""

import subprocess
from pathlib import Path

from build.launcher import make
from tests.lab import launchers

SECONDS, SEED = "10", "1"


def test_no_input_breaks_the_launcher(tmp_path: Path) -> None:
    sources = [source for source in make.SOURCES if source.stem != "main"]
    fuzz = make.compiled(
        tmp_path / "fuzz", launchers.FACTS, make.SANITIZED, [*sources, Path(__file__).with_name("fuzz.c")]
    )

    done = subprocess.run([fuzz, SECONDS, SEED], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "rounds from seed 1" in done.stdout
