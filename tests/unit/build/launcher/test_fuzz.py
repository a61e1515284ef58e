"""Claims about inputs nobody should send: the launcher's files, under sanitizers, do with them what a second model says.

Agents' datagrams and descriptors, names and environments, configurations, and the words of refusals; `make fuzz` goes on for longer.
"""

import subprocess
from pathlib import Path

from tests import fuzz

SECONDS, SEED = "10", "1"


def test_no_input_breaks_the_launcher(tmp_path: Path) -> None:
    done = subprocess.run([fuzz.compiled(tmp_path), SECONDS, SEED], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "rounds from seed 1" in done.stdout
