"""Claims about the command tulle: it shows the lease to people and to programs, and says what is missing and why."""

import json
from pathlib import Path

import pytest

from cli.main import main

LEASE = "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"


@pytest.fixture
def lease(tmp_path: Path) -> str:
    path = tmp_path / "subnet.env"
    path.write_text(LEASE)
    return str(path)


def test_the_lease_is_shown_to_people(lease: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lease", "--subnet-file", lease]) == 0
    shown = capsys.readouterr().out
    for part in ("10.42.0.0/16", "10.42.7.0/24", "10.42.7.1", "1450", "tulled", "next: "):
        assert part in shown


def test_the_lease_is_shown_to_programs(lease: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lease", "--json", "--subnet-file", lease]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["subnets"], shown["gateways"], shown["mtu"]) == (["10.42.7.0/24"], ["10.42.7.1"], 1450)


def test_a_missing_lease_is_named_with_its_likely_cause(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lease", "--subnet-file", "/no/such/file"]) == 1
    assert (
        "lease file /no/such/file: there is none; run tulle join; where that was done: systemctl status tulled"
        in capsys.readouterr().err
    )


def test_without_root_it_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main(["status"]) == 1
    assert capsys.readouterr().err == "tulle status needs root: sudo tulle status\n"


def test_what_a_file_says_reaches_no_terminal_as_a_command(lease: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "/no/\x1b[2Jsuch\x1b]0;title\x07file"]) == 1
    assert "\x1b" not in capsys.readouterr().out


def test_every_network_of_tulleds_settings_is_shown(
    lease: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "blue.env").write_text(LEASE.replace("10.42", "10.43"))
    monkeypatch.setenv("TULLED_ETCD_PREFIX", f"/red={lease},/blue={tmp_path}/blue.env")
    assert main(["lease", "--json"]) == 0
    assert [one["subnets"] for one in json.loads(capsys.readouterr().out)] == [["10.42.7.0/24"], ["10.43.7.0/24"]]
