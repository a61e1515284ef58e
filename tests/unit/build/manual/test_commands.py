"""Claims about what parsers tell the manual:

- an option stands with its value, its words and its default; options in groups stand in tables of their own
- a synopsis tells letters to type from what stands for something
- every setting of the daemon has its variable
- whoever asks for a command that is not there gets no page
"""

import pytest

from build.manual import commands
from overlay.config.settings import OPTIONS


def test_an_option_stands_with_its_value_and_default() -> None:
    rows = commands.options("tulle docker-opts")
    assert "| `-f FILE` | the lease file (default /run/flannel/subnet.env) |" in rows
    assert "| `-h, --help` |" in rows


def test_groups_stand_apart() -> None:
    told, unused = commands.options("tulled").split("accepted because flanneld has them, but without effect:\n")
    assert "| `--tunnel-guard [true\\|false]` |" in told
    assert "(default true)" in told
    assert "| `--vmodule [WORD]` |" in unused


def test_a_synopsis_tells_letters_from_what_stands_for_something() -> None:
    assert commands.synopsis("tulle lint") == "`tulle lint` [`--bin-dir` *DIR*] [`--json`] *FILE* [*FILE* ...]"
    assert "[`--socket` *PATH*]" in commands.synopsis("tulle agent")
    assert commands.synopsis("tulle agent").endswith("[`status`]")


def test_every_setting_has_its_variable() -> None:
    rows = commands.variables("")
    assert all(f"| `TULLED_{one.field.upper()}` | `--{one.flag}`: " in rows for one in OPTIONS)


def test_commands_are_told_as_in_the_help() -> None:
    assert commands.about("tulle lease") in commands.parser("tulle").format_help().replace("\n", " ")
    assert "| tulle-lease(1) | " in commands.commands("")
    assert commands.purpose("bridge") == "connects containers to a bridge on the host"
    assert commands.ending("tulled").startswith("Every flag can come from the environment")


def test_an_unknown_command_is_none() -> None:
    with pytest.raises(KeyError):
        commands.parser("tulle nonsense")
