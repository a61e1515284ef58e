"""Claims: a program of ours is known by the file that starts it, whatever leads there, and by the name it is called by.

A file that was replaced, touched or never there starts nothing of ours. Not covered: a file system that keeps no inodes.
"""

import os
from pathlib import Path

import pytest

from cni.in_process import InProcessPrograms
from cni.program import Program

BRIDGE = Program("bridge", dict)


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    (tmp_path / "lib").mkdir()
    made = tmp_path / "lib" / "launcher"
    made.write_text("#!/bin/sh\n")
    return made


@pytest.fixture
def in_process(launcher: Path) -> InProcessPrograms:
    return InProcessPrograms({"bridge": lambda: BRIDGE}, [str(launcher), str(launcher.parent / "absent")])


def test_a_link_to_the_launcher_is_the_program_of_its_name(
    in_process: InProcessPrograms, launcher: Path, tmp_path: Path
) -> None:
    (tmp_path / "near").symlink_to(launcher)
    (tmp_path / "bridge").symlink_to("near")
    assert in_process(str(tmp_path / "bridge")) is BRIDGE


def test_the_launcher_under_a_name_of_no_program_is_nobodys(
    in_process: InProcessPrograms, launcher: Path, tmp_path: Path
) -> None:
    (tmp_path / "bridged").symlink_to(launcher)
    assert in_process(str(tmp_path / "bridged")) is None


def test_another_file_of_a_programs_name_is_nobodys(in_process: InProcessPrograms, tmp_path: Path) -> None:
    (tmp_path / "bridge").write_text("#!/bin/sh\n")
    assert in_process(str(tmp_path / "bridge")) is None


@pytest.mark.parametrize("path", ["absent", "bridge", "", "bri\0dge"])
def test_nothing_is_nobodys(in_process: InProcessPrograms, tmp_path: Path, path: str) -> None:
    assert in_process(str(tmp_path / path)) is None


def test_a_replaced_launcher_is_another_builds(in_process: InProcessPrograms, launcher: Path, tmp_path: Path) -> None:
    (tmp_path / "bridge").symlink_to(launcher)
    fresh = launcher.with_name("fresh")
    fresh.write_text("#!/bin/sh\n")
    fresh.replace(launcher)
    assert in_process(str(tmp_path / "bridge")) is None


def test_one_that_got_the_inode_of_the_old_is_another_builds(launcher: Path, tmp_path: Path) -> None:
    (tmp_path / "bridge").symlink_to(launcher)
    in_process = InProcessPrograms({"bridge": lambda: BRIDGE}, [str(launcher)])
    before = launcher.stat().st_ctime_ns
    while launcher.stat().st_ctime_ns == before:  # the kernel stamps files with a coarse clock
        os.utime(launcher)
    assert in_process(str(tmp_path / "bridge")) is None


def test_a_program_is_loaded_only_when_it_is_meant(launcher: Path, tmp_path: Path) -> None:
    loaded: list[str] = []

    def load() -> Program:
        loaded.append("now")
        return BRIDGE

    in_process = InProcessPrograms({"bridge": load}, [str(launcher)])
    (tmp_path / "bridge").write_text("")
    assert (in_process(str(tmp_path / "bridge")), loaded) == (None, [])
