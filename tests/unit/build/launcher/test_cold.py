"""Claims about starting the cold program:

- one that is missing, not executable or being written is an error document that names its path and the remedy, which stderr has too
- a path of odd letters stays JSON
- without /proc it is found by the path the launcher was started by, through links
"""

import subprocess
from pathlib import Path

import pytest

from tests.lab.launchers import CONFIG, Launcher, digest

PRIVATE = ["unshare", "--mount", "--map-root-user", "sh", "-ec"]


def test_a_missing_program_is_named(launcher: Launcher) -> None:
    launcher.cold.unlink()

    outcome = launcher.run("ADD")

    assert outcome.status == 1
    assert outcome.refusal == {
        "cniVersion": "1.1.0",
        "code": 5,
        "msg": f"cannot start {launcher.cold}: No such file or directory",
        "remedy": "the launcher and its program belong together: run make build or make install again",
    }
    assert outcome.stderr == f"tulle: {outcome.refusal['msg']}: {outcome.refusal['remedy']}\n"


def test_a_program_that_is_not_executable_is_named(launcher: Launcher) -> None:
    launcher.cold.chmod(0o644)

    assert launcher.run("ADD").refusal["msg"] == f"cannot start {launcher.cold}: Permission denied"


def test_a_program_that_is_being_written_is_a_matter_of_time(launcher: Launcher) -> None:
    with launcher.cold.open("ab"):
        refusal = launcher.run("ADD").refusal

    assert refusal["code"] == 11
    assert refusal["msg"] == f"cannot start {launcher.cold}: Text file busy"
    assert "try again" in str(refusal["remedy"])


@pytest.mark.parametrize("name", ['a "quoted\\ name', "line\nend", "größer", "x" * 250 + '"'])
def test_a_path_of_odd_letters_stays_json(name: str, launcher: Launcher) -> None:
    home = launcher.tree / name
    launcher.tree.joinpath("lib").rename(home)
    (home / "tulle").unlink()

    outcome = launcher.finish(launcher.start(launcher.environ("ADD"), command=[home / "launcher"]), CONFIG)

    spelled = "".join(letter if " " <= letter <= "~" else "?" * len(letter.encode()) for letter in name)
    assert f"/{spelled}/tulle: No such file" in str(outcome.refusal["msg"])


def test_without_proc_it_is_found_through_links(launcher: Launcher, tmp_path: Path) -> None:
    link = tmp_path / "bridge"
    link.symlink_to(launcher.bridge)
    if subprocess.run([*PRIVATE, "mount -t tmpfs none /proc"], capture_output=True, check=False).returncode:
        pytest.skip("user namespaces are absent: a private /proc cannot be had")
    hidden = 'mount -t tmpfs none /proc; exec "$0"'

    outcome = launcher.finish(launcher.start(launcher.environ("ADD"), command=[*PRIVATE, hidden, link]), CONFIG)

    assert [noted["stdin"] for noted in outcome.cold] == [digest(CONFIG)]
