"""Parses the command line of `tulle`, and explains mistakes: what was probably meant, and how the command is used.

An unknown option is named without its value, which may be a password; the same for everything argparse would repeat.
Options may stand before the command, too.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from cli.nearest import meant, nearest

SYNONYMS = {
    "up": "join",
    "add": "join",
    "setup": "init",
    "start": "join --now",
    "down": "leave",
    "remove": "leave",
    "uninstall": "leave",
    "ls": "status",
    "list": "status",
    "ps": "status",
    "peers": "status",
    "info": "status",
    "show": "status",
    "ping": "doctor",
    "check": "doctor",
    "test": "doctor",
    "diagnose": "doctor",
    "fix": "repair",
    "reload": "repair",
    "clean": "gc",
    "prune": "gc",
    "validate": "lint",
    "verify": "lint",
}
"""Other programs' names for our commands."""

GROUPS = {
    "begin": ("join", "init"),
    "look": ("status", "doctor", "lease", "lint"),
    "mend": ("repair", "gc"),
    "end": ("leave",),
    "inside": ("agent", "docker-opts"),
}
"""The commands by purpose, as help lists them."""

WORDS = ("help", "version")
"""Commands that are options as well."""


class Parser(argparse.ArgumentParser):
    """argparse with other errors: one sentence with what was meant, and the usage of that command, without values."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **{**named, "allow_abbrev": False})

    def format_help(self) -> str:
        """Return the help, with several commands grouped by purpose."""
        abouts = {one.dest: str(one.help) for action in self._below() for one in action._choices_actions}  # noqa: SLF001 - as below
        if not abouts:
            return super().format_help()
        width = max(map(len, abouts))
        lines = [self.format_usage(), str(self.description), ""]
        for group, names in GROUPS.items():
            lines += [f"{group}:", *(f"  {name:<{width}}  {abouts[name]}" for name in names), ""]
        ending = "tulle help COMMAND says more of one of them, tulle --version which version this is."
        return "\n".join([*lines, ending, "", str(self.epilog), ""])

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and how this command is used, and exit with 2."""
        self.exit(2, f"{self.prog}: {_plainer(message)}\n{self.format_usage()}")

    @property
    def commands(self) -> dict[str, "Parser"]:
        """The parsers of the commands by name; empty for a command itself."""
        return {name: one for action in self._below() for name, one in action.choices.items()}

    def describe(self) -> None:
        """Begin the help of each command with what it does, as the list of commands says it."""
        for action in self._below():
            for one in action._choices_actions:  # noqa: SLF001 - argparse has no other way to these texts
                action.choices[one.dest].description = f"{str(one.help)[:1].upper()}{str(one.help)[1:]}."

    def _below(self) -> "list[argparse._SubParsersAction[Parser]]":
        return [one for one in self._actions if isinstance(one, argparse._SubParsersAction)]  # noqa: SLF001 - as above

    @property
    def options(self) -> list[str]:
        """Return all names of options."""
        return list(self._option_string_actions)


def parse(parser: Parser, words: Sequence[str]) -> argparse.Namespace:
    """Return the parsed command line. It exits as argparse does: 0 after help, 2 for a mistake."""
    if not words:
        parser.print_help(sys.stderr)
        parser.exit(2)
    leading = next((place for place, word in enumerate(words) if not _is_option(word)), len(words))
    early, rest = list(words[:leading]), list(words[leading:])
    if set(early) & set(parser.options) or not rest:
        _refuse_unknown(parser, parser, [word for word in early if word.partition("=")[0] not in parser.options])
        return parser.parse_args([*early, *rest])
    verb, behind = rest[0], rest[1:]
    if verb == "version" or (verb == "help" and not behind):
        return parser.parse_args([f"--{verb}"])
    if verb == "help":
        verb, behind = behind[0], ["--help"]
    command = parser.commands.get(verb)
    if command is None:
        parser.error(_strange(verb, parser.commands, after_option=bool(early)))
    chosen, unknown = parser.parse_known_args([verb, *early, *behind])
    if getattr(chosen, "settings", None) and "--" not in behind:
        command.error("a word too many; flags of tulled stand behind --")
    _refuse_unknown(command, parser, unknown)
    return chosen


def _strange(verb: str, known: Iterable[str], *, after_option: bool) -> str:
    """Return the error for an unknown command.

    After an option the word may be that option's value, so it is not repeated.
    """
    if after_option:
        return "options stand behind the command: tulle COMMAND --option VALUE"
    if verb in SYNONYMS:
        return f"there is no command {verb!r}; did you mean {SYNONYMS[verb]}?"
    return f"there is no command {verb!r}{meant(verb, [*known, *WORDS]) or '; tulle help lists them'}"


def _refuse_unknown(command: Parser, parser: Parser, unknown: Sequence[str]) -> None:
    """Exit with the error for the first word that nobody took. A word that is no option may be the value of one."""
    if not unknown:
        return
    option = next((word.partition("=")[0] for word in unknown if _is_option(word)), "")
    if not option:
        command.error("a word too many at the end" if command is not parser else "no such command")
    if not option.startswith("--"):
        option = option[:2]  # the rest may be its value
    owners = [name for name, one in parser.commands.items() if option in one.options]
    close = nearest(option, command.options)
    if close:
        command.error(f"unknown option {option}; did you mean {close}?")
    command.error(f"unknown option {option}" + (f"; it belongs to: tulle {', tulle '.join(owners)}" if owners else ""))


def _is_option(word: str) -> bool:
    return word.startswith("-") and word not in ("-", "--")


def _plainer(message: str) -> str:
    """Return argparse's message without the values that it repeats."""
    message = re.sub(r"ignored explicit argument .*", "takes no value", message, flags=re.DOTALL)
    choices = re.search(r"invalid choice: .* \(choose from (?P<list>.*)\)", message, re.DOTALL)
    if choices:  # Python 3.11 puts each into quotes, 3.13 none
        message = message[: choices.start()] + "has to be one of " + choices["list"].replace("'", "")
    message = re.sub(r"invalid (\w+ )?value: .*", "has a value that cannot be used", message, flags=re.DOTALL)
    return message.replace("the following arguments are required", "missing")
