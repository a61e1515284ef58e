"""Writes the completions of the commands for bash, zsh and fish, from the commands' own parsers.

`read` turns a parser into a value; `bash`, `zsh` and `fish` write it for their shell. `--option=value` in one word is
not completed.
"""

import argparse
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cli import main as tulle
from cli.setup.runtimes import HOMES
from overlay.config import settings as tulled

MARK = "Part of tulle:"
FILES = frozenset({"FILE", "PATH"})
"""What an option's value is called when it is a file."""

WORDS: Mapping[str, tuple[str, ...]] = {"runtimes": tuple(HOMES)}
"""The words for an argument without choices of its own, by its name in the parser."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option."""

    flags: tuple[str, ...]
    about: str  # what --help says
    value: tuple[str, ...] | None = None  # words it may be; None: no value
    file: bool = False  # its value is a file


@dataclass(frozen=True, slots=True)
class Command:
    """A command."""

    name: str
    about: str  # what --help says
    options: tuple[Option, ...]
    words: tuple[str, ...] = ()  # words that it takes
    file: bool = False  # it takes files
    commands: tuple["Command", ...] = ()  # commands below it


def commands() -> tuple[Command, ...]:
    """Return the commands that people type."""
    return (read("tulle", tulle.command_line()), read("tulled", tulled.command_line(io.StringIO())))


def read(name: str, parser: argparse.ArgumentParser, about: str = "") -> Command:
    """Return a parser as a value."""
    formatter = parser._get_formatter()  # noqa: SLF001 - argparse has no other way to its help texts
    options: list[Option] = []
    words: list[str] = []
    below: list[Command] = []
    file = False
    for action in parser._actions:  # noqa: SLF001 - nor to its options
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            told = {one.dest: one.help or "" for one in action._choices_actions}  # noqa: SLF001
            below = [read(each, one, told.get(each, "")) for each, one in action.choices.items()]
        elif action.option_strings:
            said = "" if action.help is None else formatter._expand_help(action)  # noqa: SLF001
            options.append(_option(action, said))
        else:
            words += map(str, action.choices or WORDS.get(action.dest, ()))
            file = file or action.metavar in FILES
    return Command(name, about, tuple(options), tuple(words), file, tuple(below))


def _option(action: argparse.Action, about: str) -> Option:
    flags = tuple(action.option_strings)
    if action.nargs in (0, "?"):
        return Option(flags, about)
    return Option(flags, about, tuple(map(str, action.choices or ())), action.metavar in FILES)


def bash(command: Command) -> str:
    """Return the text for bash: one function per command."""
    name = command.name
    find = '    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do case $word in -*) ;; *) command=$word; break ;; esac; done\n'
    return (
        f"# {MARK} what bash completes for {name}.\n"
        f"_{name}() {{\n"
        "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command= word words=\n"
        f"{find if command.commands else ''}"
        "    case $command:$previous in\n"
        f"{''.join(_bash_values(command))}"
        "    esac\n"
        "    case $command in\n"
        f"{''.join(_bash_words(command))}"
        "    esac\n"
        '    COMPREPLY+=($(compgen -W "$words" -- "$current"))\n'
        "}\n"
        f"complete -o filenames -F _{name} {name}\n"
    )


def _bash_values(command: Command) -> Iterator[str]:
    for under, one in _each(command):
        for option in one.options:
            if option.value is not None:
                pattern = "|".join(f"{under}:{flag}" for flag in option.flags)
                what = "-f" if option.file else f"-W '{' '.join(option.value)}'"
                yield f'    {pattern}) COMPREPLY=($(compgen {what} -- "$current")); return ;;\n'


def _bash_words(command: Command) -> Iterator[str]:
    for under, one in _each(command):
        flags = [flag for option in one.options for flag in option.flags]
        words = " ".join([*(each.name for each in one.commands), *one.words, *flags])
        files = ' COMPREPLY=($(compgen -f -- "$current"))' if one.file else ""
        yield f"    '{under}') words='{words}'{';' if files else ''}{files} ;;\n"


def zsh(command: Command) -> str:
    """Return the text for zsh: `_arguments` for each command."""
    named = "".join(f"        {_quoted(f'{each.name}:{each.about}')}\n" for each in command.commands)
    choose = (
        "    local -a commands=(\n"
        f"{named}    )\n"
        "    if (( CURRENT == 2 )); then _describe -t commands command commands; fi\n"
        "    local word=${words[2]}\n"
        "    (( CURRENT > 2 )) && { shift words; (( CURRENT-- )); } || word=\n"
    )
    cases = "".join(f"    '{under}') _arguments{_zsh_arguments(one)} ;;\n" for under, one in _each(command))
    return (
        f"#compdef {command.name}\n# {MARK} what zsh completes for {command.name}.\n_{command.name}() {{\n"
        f"{choose if command.commands else '    local word='}\n    case $word in\n{cases}    esac\n}}\n"
        f'_{command.name} "$@"\n'
    )


def _zsh_arguments(command: Command) -> str:
    told = [
        f"{flag}[{_plain(option.about)}]{_zsh_value(option)}" for option in command.options for flag in option.flags
    ]
    if command.words:
        told.append(f"*:word:({' '.join(command.words)})")
    if command.file:
        told.append("*:file:_files")
    return "".join(f" \\\n        {_quoted(each)}" for each in told)


def _zsh_value(option: Option) -> str:
    if option.value is None:
        return ""
    return ":file:_files" if option.file else f":value:({' '.join(option.value)})"


def fish(command: Command) -> str:
    """Return the text for fish: one line per option."""
    lines = [f"# {MARK} what fish completes for {command.name}.", f"complete -c {command.name} -f"]
    for under, one in _each(command):
        when = f" -n {_quoted(_fish_when(under))}" if command.commands else ""
        start = f"complete -c {command.name}{when}"
        lines += [f"{start} -a {each.name} -d {_quoted(each.about)}" for each in one.commands]
        lines += [f"{start} -a {_quoted(' '.join(one.words))}"] if one.words else []
        lines += [f"{start} -F"] if one.file else []
        lines += [f"{start}{_fish_option(option)}" for option in one.options]
    return "\n".join(lines) + "\n"


def _fish_when(under: str) -> str:
    return f"__fish_seen_subcommand_from {under}" if under else "__fish_use_subcommand"


def _fish_option(option: Option) -> str:
    flags = "".join(f" -l {flag[2:]}" if flag.startswith("--") else f" -s {flag[1:]}" for flag in option.flags)
    value = ""
    if option.value is not None:
        value = " -r -F" if option.file else f" -x -a {_quoted(' '.join(option.value))}"
    return f"{flags}{value} -d {_quoted(option.about)}"


def _each(command: Command) -> Iterator[tuple[str, Command]]:
    """Yield the command without a name, then each command below it with its name."""
    yield "", command
    yield from ((one.name, one) for one in command.commands)


def _plain(text: str) -> str:
    """Return the text without characters that have a meaning between zsh's brackets."""
    return text.replace("[", "(").replace("]", ")").replace(":", " -")


def _quoted(text: str) -> str:
    """Return a text in quotes for all three shells.

    They differ about a quote inside, so it becomes a typographic one.
    """
    return "'" + text.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}") + "'"


SHELLS: Mapping[str, tuple[str, str, Callable[[Command], str]]] = {
    "bash": ("bash-completion/completions", "{}", bash),
    "zsh": ("zsh/site-functions", "_{}", zsh),
    "fish": ("fish/vendor_completions.d", "{}.fish", fish),
}
"""For each shell: the directory below PREFIX/share, the name of a command's file, and the function that writes it."""


def places() -> dict[Path, tuple[Callable[[Command], str], Command]]:
    """Return every file below PREFIX with its content."""
    return {
        Path("share", folder, form.format(command.name)): (spell, command)
        for folder, form, spell in SHELLS.values()
        for command in commands()
    }
