"""Claims about the table of programs and how each is tried:

- a program that does not start is a BuildError with its own words; a helper's answer is its refusal
- files and folders that are hidden are empty for the program that is tried, and for nobody else
- a link is put in place whole, and what the table no longer names leaves its folder
"""

import os
from pathlib import Path

import pytest

from build import programs
from build.programs import BuildError, Program

HELLO = Program("bin", "hello")


def script(folder: Path, *lines: str) -> Path:
    path = folder / "hello"
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


def test_a_program_that_does_not_start_is_refused_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no such module"):
        programs.answer(HELLO, script(tmp_path, "echo no such module >&2", "exit 1"))


def test_help_is_asked_for_and_its_first_line_returned(tmp_path: Path) -> None:
    assert programs.answer(HELLO, script(tmp_path, "echo usage: hello $1; echo more")) == "usage: hello --help"


def test_a_helper_answers_with_its_refusal(tmp_path: Path) -> None:
    helper = Program("lib", "hello")

    assert programs.answer(helper, script(tmp_path, "echo nothing to do >&2; exit 1")) == "nothing to do"
    with pytest.raises(BuildError, match="Traceback"):
        programs.answer(helper, script(tmp_path, "echo Traceback >&2; exit 1"))


def test_a_version_answer_is_summed_up() -> None:
    assert programs.versions('{"supportedVersions": ["0.1.0", "1.0.0", "1.1.0"]}') == "CNI 0.1.0 to 1.1.0"


def test_what_is_hidden_is_empty_for_the_program_alone(tmp_path: Path) -> None:
    folder, file = tmp_path / "it's hidden", tmp_path / "file"
    folder.mkdir()
    for path in (folder / "inside", file):
        path.write_text("seen")
    within = programs.hiding(folder, file)
    if not within:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs root or user namespaces (unshare)")

    said = programs.answer(HELLO, script(tmp_path, f'echo "<$(ls "{folder}")$(cat "{file}")>"'), within)

    assert said == "<>"
    assert (folder / "inside").read_text() == file.read_text() == "seen"


def test_a_link_is_replaced_whole(tmp_path: Path) -> None:
    place = tmp_path / "cni" / "bridge"

    for target in ("../lib/one", "../lib/two"):
        programs.link(place, target)

    assert place.readlink() == Path("../lib/two")
    assert list(place.parent.iterdir()) == [place]


def test_what_the_table_no_longer_names_leaves_its_folder(tmp_path: Path) -> None:
    (tmp_path / "cni").mkdir()
    for name in ("bridge", "retired"):
        (tmp_path / "cni" / name).touch()

    programs.retire(tmp_path)

    assert [path.name for path in (tmp_path / "cni").iterdir()] == ["bridge"]


def test_every_program_has_a_place_of_its_own() -> None:
    places = [program.place for program in programs.PROGRAMS]

    assert len(set(places)) == len(places)
    assert {program.folder for program in programs.PROGRAMS} == {"cni", "bin", "netavark", "lib"}
