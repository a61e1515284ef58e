"""Claims about `tulle agent` as a command:

- without an agent, `status` says so and fails
- a number of workers must make sense
- without a build there is nothing to serve, and the remedy is named
"""

import argparse
from pathlib import Path

import pytest

from agent import build_id, main


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    main.declare(parser)
    return parser.parse_args(arguments)


def test_without_an_agent_the_status_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "agent.sock"
    assert main.run(parsed("status", "--socket", str(path)), {}) == 1
    assert capsys.readouterr().err == f"tulle agent: no agent listens on {path}: No such file or directory\n"


@pytest.mark.parametrize("number", ["0", "257", "many"])
def test_a_number_of_workers_must_make_sense(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--workers", number)
    assert number in capsys.readouterr().err


def test_without_a_build_the_remedy_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_id, "build_file", lambda: tmp_path / "build-id")
    assert main.run(parsed("--socket", str(tmp_path / "agent.sock")), {}) == 1
    assert "`make build` writes it" in capsys.readouterr().err
