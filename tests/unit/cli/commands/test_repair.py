"""Claims about the command `tulle repair`, where nothing lives: what it tells, which attachments are meant, its exit codes."""

import json
from pathlib import Path

import pytest

from cli.commands.repair import chosen
from cli.main import main
from cni.attachment_id import AttachmentID
from tests.unit.cli.repair import samples

OWNER = AttachmentID("net", "0123abc", "eth0")


def ask(folder: Path, *options: str) -> int:
    return main(["repair", "--cache", str(folder), "--cni-path", str(folder), "--network", "net", *options])


def keep(folder: Path, name: str, content: bytes) -> None:
    (folder / "results").mkdir(exist_ok=True)
    (folder / "results" / name).write_bytes(content)


def test_no_record_is_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (ask(tmp_path), capsys.readouterr().out) == (0, "no attachments\n")


def test_a_cache_and_a_container_that_are_not_there_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (ask(tmp_path / "none"), ask(tmp_path, "--container", "c9")) == (1, 1)
    said = capsys.readouterr().err
    assert f"there is no directory {tmp_path / 'none'}; leave --cache out for /var/lib/cni" in said
    assert "no attachment here is of container c9: name it by its id" in said


def test_what_a_record_says_reaches_no_terminal_as_a_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(tmp_path, "net-\x1b[2J-eth0", samples.record(containerId="\x1b]0;title\x07"))
    assert ask(tmp_path) == 1
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err


def test_the_dead_are_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(tmp_path, "net-c1-eth0", samples.record(netns="/run/netns/no-such"))
    assert ask(tmp_path) == 0
    assert capsys.readouterr().out == (
        "net/c1/eth0: left out: its network namespace /run/netns/no-such is gone: DEL or GC by its runtime removes what is left\n"
    )


def test_an_unreadable_record_is_named_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(tmp_path, "net-c1-eth0", b"{")
    keep(tmp_path, "net-c2-eth0", samples.record(containerId="c2", netns="/run/netns/no-such"))
    assert ask(tmp_path, "--json") == 1
    shown = json.loads(capsys.readouterr().out)
    assert [each["file"] for each in shown["unreadable"]] == [str(tmp_path / "results" / "net-c1-eth0")]
    assert [each["containerId"] for each in shown["attachments"]] == ["c2"]
    assert shown["unrecorded"] == []


def test_a_list_without_check_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(tmp_path, "net-c1-eth0", samples.record(config={**samples.LIST, "disableCheck": True}))
    assert (ask(tmp_path), "disableCheck" in capsys.readouterr().out) == (0, True)


@pytest.mark.parametrize(
    ("networks", "containers", "meant"),
    [
        (None, None, True),
        (["net"], None, True),
        (["other"], None, False),
        (None, ["0123"], True),
        (None, ["123"], False),
        (["net"], ["x", "0123abc"], True),
    ],
)
def test_attachments_are_chosen_by_network_and_start_of_id(
    networks: list[str] | None, containers: list[str] | None, meant: bool
) -> None:
    assert chosen(OWNER, networks, containers) == meant


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["repair", "--help"])
    assert "Exit codes: 0 every rule stands" in capsys.readouterr().out
