"""Claims about what a person mistypes behind `tulle`:

- a command that is not there is answered with the one that was meant, whatever other programs call it
- an unknown option is answered with the one that was meant, or with the command that has it, and with the usage of the very command
- no value of an option that is unknown, or that takes none, is ever repeated: it may be a password
- options may stand before the command; help and version are commands too; every command's help says what it does, with an example
"""

import pytest

from cli.commandline import GROUPS
from cli.main import EXAMPLES, command_line, main

SECRET = "hunter2"


def answer(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    return said.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("statsu", "there is no command 'statsu'; did you mean status?"),
        ("Status", "there is no command 'Status'; tulle help lists them"),
        ("docter", "did you mean doctor?"),
        ("joim 192.0.2.11", "did you mean join?"),
        ("up", "there is no command 'up'; did you mean join?"),
        ("down", "did you mean leave?"),
        ("ps", "did you mean status?"),
        ("hlep", "did you mean help?"),
        ("verison", "did you mean version?"),
        ("frobnicate", "tulle help lists them"),
        ("help statsu", "did you mean status?"),
        ("status --jsno", "tulle status: unknown option --jsno; did you mean --json?"),
        ("gc --dryrun", "tulle gc: unknown option --dryrun; did you mean --dry-run?"),
        ("gc --dry", "unknown option --dry"),
        ("lint --dry-run x", "tulle lint: unknown option --dry-run; it belongs to: tulle join, tulle init, tulle gc"),
        ("join --etcd-endpoints http://192.0.2.1:2379", "tulle join: unknown option --etcd-endpoints"),
        ("init --frist", "did you mean --first?"),
        ("--jsno status", "tulle status: unknown option --jsno; did you mean --json?"),
        ("--verison", "tulle: unknown option --verison; did you mean --version?"),
        ("status all", "tulle status: a word too many; flags of tulled stand behind --"),
        ("lease web", "tulle lease: a word too many"),
        ("lease --subnet-file", "tulle lease: argument --subnet-file: expected one argument"),
        ("lint", "tulle lint: missing: FILE"),
        ("agent statsu", "tulle agent: argument status: has to be one of status"),
    ],
)
def test_what_was_meant_is_said(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = answer(words, capsys)
    assert said in told
    assert told.splitlines()[1].startswith(f"usage: {told.partition(':')[0]}")


@pytest.mark.parametrize(
    "words",
    [
        f"status --etcd-pass {SECRET}",
        f"status --etcd-pass={SECRET}",
        f"join --etcd-password {SECRET} --etcd http://192.0.2.1:2379",
        f"--etcd-pass {SECRET} status",
        f"--etcd-pass={SECRET} status",
        f"--etcd-pass={SECRET}",
        f"status --json={SECRET}",
        f"status -p{SECRET}",
        f"lease {SECRET}",
        f"agent --workers {SECRET}",
    ],
)
def test_no_value_of_an_option_is_repeated(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert SECRET not in answer(words, capsys)


def test_options_may_stand_before_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "lint", "/no/such/file"]) == 1
    assert capsys.readouterr().out.startswith('{"/no/such/file": [')


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("help", "Join hosts into one container network, and look after it."),
        ("help doctor", "usage: tulle doctor"),
        ("version", "tulle "),
        ("--version", "tulle "),
        ("doctor --help", "usage: tulle doctor"),
    ],
)
def test_help_and_version_are_commands_too(words: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert (ended.value.code, shown in capsys.readouterr().out) == (0, True)


def test_every_command_says_what_it_does_with_an_example() -> None:
    commands = command_line().commands
    assert set(EXAMPLES) == set(commands)
    assert [name for name, one in commands.items() if not one.description or "Example" not in (one.epilog or "")] == []


def test_help_lists_every_command_by_what_a_person_wants(capsys: pytest.CaptureFixture[str]) -> None:
    listed = [name for names in GROUPS.values() for name in names]
    assert sorted(listed) == sorted(command_line().commands)
    with pytest.raises(SystemExit):
        main(["help"])
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if line.removesuffix(":") in GROUPS] == [f"{group}:" for group in GROUPS]
    assert all(f"\n  {name} " in said for name in listed)


def test_without_a_word_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert (ended.value.code, "begin:" in capsys.readouterr().err) == (2, True)
