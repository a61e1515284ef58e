"""Claims about the programs a worker serves:

- they are those of the one list, each under its own name
- a link to the executable is served in the process that asks, another file of the same name is not
"""

from pathlib import Path

from agent import catalogue
from catalogue import CNI


def test_they_are_those_of_the_list() -> None:
    assert {name: program.name for name, program in catalogue.PROGRAMS.items()} == {name: name for name in CNI}


def test_a_link_to_the_executable_is_served_in_process(tmp_path: Path) -> None:
    (tmp_path / "tulle").touch()
    (tmp_path / "cni").mkdir()
    (tmp_path / "cni" / "bridge").symlink_to(tmp_path / "tulle")
    (tmp_path / "cni" / "static").touch()

    in_process = catalogue.in_process(tmp_path)

    assert in_process(str(tmp_path / "cni" / "bridge")) is catalogue.PROGRAMS["bridge"]
    assert in_process(str(tmp_path / "cni" / "static")) is None
