"""Claims: on random configurations ours ends as the reference does, in results, kernel and files, but for what tests/differential/known.py lists,
whoever of the two attached a container and whoever checks and detaches it.

Each run draws 150 cases from a seed of its own, what a run of all tests has time for; `python -m tests.differential` draws as many as wished.
Skipped only without root or the reference, and never in CI.
"""

import os
import subprocess
import sys

import pytest

from tests.differential.__main__ import REFERENCES
from tests.lab.daemon import ROOT

EXAMPLES = 150


@pytest.mark.parametrize(("release", "seed"), [("1.9.1", 1), ("1.9.1", 2), ("1.1.1", 3), ("1.1.1", 4)])
def test_ours_ends_as_the_reference_does(release: str, seed: int) -> None:
    if os.geteuid() != 0 or not (REFERENCES[release] / "bridge").exists():
        (pytest.fail if "CI" in os.environ else pytest.skip)(f"no root, or the reference {release} is absent")
    words = [f"--release={release}", f"--examples={EXAMPLES}", f"--seed={seed}"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.differential", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )

    assert done.returncode == 0, done.stdout + done.stderr
