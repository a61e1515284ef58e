"""Claims about the command tulle init, on staged machines:

- without a name it serves every runtime found, writes each file once, and prints what was done and what to run next
- --dry-run writes nothing; a second run finds everything as it should be; --undo leaves nothing but folders
- what is in the way ends it before anything is written, and so does a lease that is missing
- where Podman 4 keeps a book of its own beside containerd, what is unambiguous is set up, the choice is one line, and it ends well
- Docker is served when it is named; until then it is told how
- a name that is no runtime, and --undo of one runtime, are wrong usage
"""

import argparse
import json
from pathlib import Path

import pytest

from cli.commands import init
from cli.inspect.detect import DOCKER_DROP_IN, under
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
    assert f"{CONFLIST} unchanged" in capsys.readouterr().out


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


def test_a_lease_file_that_is_named_and_not_there_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, "nerdctl", lease="/no/lease") == 0
    assert "note: there is no lease file /no/lease yet; containers start once tulled" in capsys.readouterr().out


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


def test_the_lease_file_is_the_one_of_tulleds_settings(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = under(root, "/etc/default/tulled")
    place.parent.mkdir(parents=True)
    place.write_text("TULLED_SUBNET_FILE=/run/red.env\n")
    assert run(root, lease="") == 0
    assert '"subnetFile": "/run/red.env"' in under(root, CONFLIST).read_text()
    place.write_text("TULLED_ETCD_PREFIX=/red=/run/red.env,/blue=/run/blue.env\n")
    assert run(root, lease="") == 1
    assert (
        "tulled keeps several networks here: /run/red.env, /run/blue.env; choose one after the other: tulle init --subnet-file FILE"
        in capsys.readouterr().err
    )
    run(root, undo=True)
    assert [run(root, lease=f"/run/{name}.env") for name in ("red", "blue")] == [0, 0]
    assert "nerdctl run --rm -it --network blue IMAGE" in capsys.readouterr().out
    written = {path.name: json.loads(path.read_text()) for path in under(root, CONFLIST).parent.iterdir()}
    assert {
        name: (one["name"], one["plugins"][0]["bridge"], one["plugins"][0]["subnetFile"])
        for name, one in written.items()
    } == {
        "10-red.conflist": ("red", "red0", "/run/red.env"),
        "99-blue.conflist": ("blue", "blue0", "/run/blue.env"),
    }


LEASE = "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
NETWORK = "/etc/containers/networks/tulle.json"


def podman_4(root: Path, *others: str) -> str:
    """Make a machine with Podman 4 on netavark and others, and a lease; return the lease file's path."""
    for program in ("/usr/bin/podman", "/usr/lib/podman/netavark", *(f"/usr/bin/{other}" for other in others)):
        under(root, program).parent.mkdir(parents=True, exist_ok=True)
        under(root, program).touch()
    (root / "subnet.env").write_text(LEASE)
    return str(root / "subnet.env")


def test_podman_4_beside_the_containerd_of_docker_is_set_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lease = podman_4(tmp_path, "containerd", "dockerd")
    assert run(tmp_path, lease=lease) == 0
    said = capsys.readouterr()
    assert (under(tmp_path, NETWORK).exists(), under(tmp_path, CONFLIST).exists(), said.err) == (True, False, "")
    assert "podman and containerd cannot share this host's subnet: containerd left out" in said.out
    assert "--network tulle IMAGE" in said.out


def test_between_podman_4_and_nerdctl_a_person_chooses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lease = podman_4(tmp_path, "containerd", "nerdctl")
    assert run(tmp_path, lease=lease) == 0
    assert capsys.readouterr().out == (
        "podman and containerd or nerdctl cannot share this host's subnet. "
        "Choose: tulle init podman, or tulle init containerd nerdctl\n"
    )
    assert not under(tmp_path, "/var/lib/tulle").exists()
    assert run(tmp_path, "containerd", "nerdctl", lease=lease) == 0
    assert (run(tmp_path, lease=lease), under(tmp_path, NETWORK).exists()) == (0, False)
    assert run(tmp_path, "podman", lease=lease) == 1
    assert f"{CONFLIST} is there. Take that back first (tulle init --undo" in capsys.readouterr().err


def test_a_second_configuration_is_not_written_beside_one_dropped_in_by_hand(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand = under(root, "/etc/cni/net.d/05-mine.conflist")
    by_hand.parent.mkdir(parents=True)
    by_hand.write_text(init.CONFLIST.read_text().replace("/run/flannel/subnet.env", "/no/lease"))
    assert run(root) == 0
    assert "05-mine.conflist goes by this lease already" in capsys.readouterr().out
    assert [path.name for path in by_hand.parent.iterdir()] == ["05-mine.conflist"]


@pytest.mark.parametrize("words", [["rkt"], ["podman", "--undo"]])
def test_wrong_usage_is_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", *words]) == 2
    assert "tulle init: " in capsys.readouterr().err
