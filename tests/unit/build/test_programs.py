"""Claims about the executables:

- a short interpreter path stands in the shebang; a long one or one with a blank goes through /bin/sh, and both run
- an executable finds its modules by absolute path, from any directory, and ignores the caller's environment
- a program that does not start is a BuildError with its own words
- a program that is no longer in the table leaves its folder
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from build import programs
from build.programs import BuildError, Program, script, shebang, write

HELLO = Program("bin", "hello", "greeting")


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    (tmp_path / "greeting.py").write_text("def main():\n    print('usage: hello')\n    return 0\n")
    return tmp_path


def interpreter_at(folder: Path) -> str:
    folder.mkdir(parents=True)
    link = folder / "python"
    link.symlink_to(shutil.which("python3", path="/usr/bin") or sys.executable)
    return str(link)


def said(executable: Path, **environment: str) -> str:
    return subprocess.run([executable], env=environment, cwd="/", capture_output=True, text=True, check=True).stdout


def test_a_short_interpreter_stands_in_the_shebang() -> None:
    assert shebang("/usr/bin/python3") == "#!/usr/bin/python3 -IS"


@pytest.mark.parametrize("name", ["a folder", "d" * 130, "it's"], ids=["blank", "long", "quote"])
def test_any_interpreter_path_runs(name: str, modules: Path, tmp_path: Path) -> None:
    executable = tmp_path / "hello"
    write(executable, script(HELLO, interpreter_at(tmp_path / name / "bin"), [str(modules)]))

    assert said(executable) == "usage: hello\n"


def test_the_callers_environment_does_not_reach_the_modules(modules: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "greeting.py").write_text("def main():\n    print('wrong')\n")
    executable = tmp_path / "hello"
    write(executable, script(HELLO, "/usr/bin/python3", [str(modules)]))

    assert said(executable, PYTHONPATH=str(other), PYTHONSTARTUP="/nowhere") == "usage: hello\n"


def test_a_program_that_does_not_start_is_refused_in_its_own_words(tmp_path: Path) -> None:
    executable = tmp_path / "hello"
    write(executable, script(HELLO, "/usr/bin/python3", [str(tmp_path)]))

    with pytest.raises(BuildError, match="No module named 'greeting'"):
        programs.answer(HELLO, executable)


def test_help_is_asked_for_and_its_first_line_returned(modules: Path, tmp_path: Path) -> None:
    executable = tmp_path / "hello"
    write(executable, script(HELLO, "/usr/bin/python3", [str(modules)]))

    assert programs.answer(HELLO, executable) == "usage: hello"


def test_a_version_answer_is_summed_up() -> None:
    assert programs.versions('{"supportedVersions": ["0.1.0", "1.0.0", "1.1.0"]}') == "CNI 0.1.0 to 1.1.0"


def test_what_the_table_no_longer_names_leaves_its_folder(tmp_path: Path) -> None:
    (tmp_path / "cni").mkdir()
    for name in ("bridge", "retired"):
        (tmp_path / "cni" / name).touch()

    programs.retire(tmp_path)

    assert [path.name for path in (tmp_path / "cni").iterdir()] == ["bridge"]


def test_every_program_has_a_place_of_its_own() -> None:
    places = [program.place for program in programs.PROGRAMS]

    assert len(set(places)) == len(places)
    assert {program.folder for program in programs.PROGRAMS} == {"cni", "bin"}
