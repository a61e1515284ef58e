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
    assert "lease file /no/such/file: there is none; is tulled running here" in capsys.readouterr().err


def test_a_wrong_command_line_shows_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["no-such-command"])
    assert (ended.value.code, "lease" in capsys.readouterr().err) == (2, True)
