"""Claims about the command tulle init, on staged machines:

- without a name it serves every runtime found, writes each file once, and prints what was done and what to run next
- --dry-run writes nothing; a second run finds everything as it should be; --undo leaves nothing but folders
- what is in the way ends it before anything is written, and so does a lease that is missing
- Docker is served when it is named; until then it is told how
- a name that is no runtime, and --undo of one runtime, are wrong usage
"""

import argparse
from pathlib import Path

import pytest

from cli import init
from cli.machine import DOCKER_DROP_IN, under
from cli.main import main

CONFLIST = "/etc/cni/net.d/10-tulle.conflist"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for program in ("podman", "containerd", "nerdctl"):
        place = under(tmp_path, f"/usr/bin/{program}")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    return tmp_path


def run(root: Path, *runtimes: str, lease: str = "/no/lease", **flags: bool) -> int:
    chosen = {"first": False, "dry_run": False, "undo": False, **flags}
    return init.run(argparse.Namespace(runtimes=list(runtimes), subnet_file=lease, **chosen), root)


def files(root: Path) -> set[str]:
    return {f"/{path.relative_to(root)}" for path in root.rglob("*") if path.is_file() and path.parent.name != "bin"}


def test_every_runtime_found_is_served(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root) == 0
    said = capsys.readouterr().out
    assert said.count(f"wrote {CONFLIST}") == 1
    for part in ("\npodman:\n", "\ncontainerd:\n", "\nnerdctl:\n", "next: podman run --rm -it --network tulle IMAGE"):
        assert part in said
    assert files(root) == {CONFLIST, "/var/lib/tulle/init.json"}
    assert run(root) == 0
    assert f"{CONFLIST} is as it should be" in capsys.readouterr().out


def test_a_dry_run_writes_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, dry_run=True) == 0
    assert f"would write {CONFLIST}:\n{{" in capsys.readouterr().out
    assert files(root) == set()


def test_undo_leaves_nothing_and_may_be_repeated(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(root, "nerdctl")
    assert run(root, undo=True, dry_run=True) == 0
    assert files(root)
    assert [run(root, undo=True) for _ in range(2)] == [0, 0]
    assert (files(root), f"removed {CONFLIST}" in capsys.readouterr().out) == (set(), True)


def test_an_edited_file_stays_and_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(root, "nerdctl")
    under(root, CONFLIST).write_text("{}")
    assert (run(root, "nerdctl"), run(root, undo=True)) == (1, 1)
    assert capsys.readouterr().err.count(f"{CONFLIST} was edited since and stays") == 2
    assert under(root, CONFLIST).read_text() == "{}"


def test_a_missing_lease_is_told_before_anything_is_written(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, "netavark") == 1
    assert "lease file /no/lease: there is none" in capsys.readouterr().err
    assert files(root) == set()


def test_a_machine_without_runtimes_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path) == 1
    assert "none of podman, containerd, nerdctl is installed" in capsys.readouterr().err


def test_docker_is_served_when_it_is_named_and_told_how_until_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, text in (
        ("/usr/sbin/dockerd", ""),
        ("/lib/systemd/system/docker.service", "ExecStart=/usr/sbin/dockerd\n"),
    ):
        under(tmp_path, path).parent.mkdir(parents=True)
        under(tmp_path, path).write_text(text)
    assert run(tmp_path) == 1
    assert "so it shares the subnet with nobody: tulle init docker" in capsys.readouterr().err
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert run(tmp_path, "docker") == 0
    assert "next: systemctl daemon-reload && systemctl restart docker" in capsys.readouterr().out
    assert run(tmp_path, undo=True) == 0
    assert f"removed {DOCKER_DROP_IN}; next: systemctl daemon-reload" in capsys.readouterr().out
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("words", [["rkt"], ["podman", "--undo"]])
def test_wrong_usage_is_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", *words]) == 2
    assert "tulle init: " in capsys.readouterr().err
