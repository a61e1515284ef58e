"""Claims:

* a reference that is no directory, or lacks bridge or host-local, ends the bench with one line that says so and what to do
* programs of ours that are not there do so too
* a scenario that one side has no program for is left out, with the side and the program
"""

import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from bench import __main__ as bench

ROOT = Path(__file__).resolve().parents[3]


def programs(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"#!/bin/sh\n")
    return folder


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ((), "lacks bridge and host-local"),
        (("host-local",), "lacks bridge"),
        (("bridge",), "lacks host-local"),
    ],
)
def test_a_reference_without_its_programs_ends_in_one_line(tmp_path: Path, held: tuple[str, ...], said: str) -> None:
    ours = programs(tmp_path / "ours", "bridge", "host-local")
    refused = bench._unusable(Namespace(ours=ours, reference=programs(tmp_path / "theirs", *held)))
    assert refused.startswith(f"{tmp_path}/theirs {said}: name a directory")


def test_what_is_no_directory_ends_in_one_line_and_no_traceback(tmp_path: Path) -> None:
    ours = programs(tmp_path / "ours", "bridge", "host-local")
    command = [sys.executable, "-m", "bench", "--ours", str(ours), "--reference", str(ours / "bridge")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert ended.stderr.startswith(f"bench: {ours}/bridge is no directory: name a directory")


def test_programs_of_ours_that_are_not_built_end_in_one_line(tmp_path: Path) -> None:
    said = bench._unusable(Namespace(ours=tmp_path / "none", reference=tmp_path))
    assert said == f"{tmp_path}/none is no directory: `make build` makes it"


def test_a_scenario_without_its_programs_is_left_out_and_said_to_be(tmp_path: Path) -> None:
    ours = programs(tmp_path / "ours", "bridge", "host-local", "portmap", "firewall")
    theirs = programs(tmp_path / "theirs", "bridge", "host-local", "portmap")
    said = list(bench._left_out(Namespace(ours=ours, reference=theirs, only="")))
    assert said == [f"left out: bridge + portmap + firewall: {theirs} lacks firewall"]
