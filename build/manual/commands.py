"""Writes in Markdown what the parsers of our commands know, so that no page repeats an option by hand.

What a program reads without a parser is not found.
"""

import argparse
import io
import re

from build.manual.markdown import FLAG, marked, table
from catalogue import CNI
from cli import main as tulle
from overlay.config import settings as tulled

Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse has no other name for the commands below one


def parser(command: str) -> argparse.ArgumentParser:
    """Return the parser of `tulle`, `tulle COMMAND` or `tulled`. Raises KeyError for another one."""
    if command == "tulled":
        return tulled.command_line(io.StringIO())
    whole = tulle.command_line()
    return below(whole)[command.partition(" ")[2]] if " " in command else whole


def below(whole: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the commands below a command, by name."""
    return dict(_commands(whole).choices)


def summaries() -> dict[str, str]:
    """Return what `tulle --help` says of each command."""
    told = _commands(tulle.command_line())._choices_actions  # noqa: SLF001 - nor to these
    return {one.dest: one.help or "" for one in told}


def _commands(whole: argparse.ArgumentParser) -> "Commands[argparse.ArgumentParser]":
    actions = whole._actions  # noqa: SLF001 - argparse has no other way to its commands
    return next(one for one in actions if isinstance(one, Commands))


def about(command: str) -> str:
    """Return what a command is for, in one line."""
    return summaries()[command.partition(" ")[2]]


def purpose(program: str) -> str:
    """Return what a CNI program is for, as it says to a person who starts it."""
    return marked(CNI[program].load().about.partition(": ")[2])


def commands(_: str) -> str:
    """Return a table of the commands of `tulle` and their pages."""
    return table(("command", "about"), ((f"tulle-{name}(1)", marked(said)) for name, said in summaries().items()))


def synopsis(command: str) -> str:
    """Return how a command is called."""
    asked = parser(command)
    asked.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=1000)
    words = asked.format_usage().removeprefix("usage: ").replace("[-h] ", "").strip()
    rest = words.removeprefix(asked.prog).strip()
    spelled = re.sub(r"\[([a-z]+)\]", r"[`\1`]", FLAG.sub(r"`\1`", rest))
    shown = re.sub(r"[A-Z][A-Z_]+", r"*\g<0>*", spelled)
    return f"`{asked.prog}` {shown}"


def options(command: str) -> str:
    """Return a table of a command's arguments; where its options are in groups, one per group."""
    asked = parser(command)
    formatter = asked._get_formatter()  # noqa: SLF001 - argparse has no other way to its help texts
    found = []
    for group in asked._action_groups:  # noqa: SLF001 - nor to its groups
        rows = [
            (f"`{formatter._format_action_invocation(one)}`", marked(formatter._expand_help(one)))  # noqa: SLF001
            for one in group._group_actions  # noqa: SLF001
            if one.help and not isinstance(one, Commands)
        ]
        title = "" if group.title in ("options", "positional arguments") else f"{marked(str(group.title))}:\n\n"
        found += [title + table(("option", "about"), rows)] if rows else []
    return "\n".join(found)


def ending(command: str) -> str:
    """Return the end of the command's `--help`."""
    return marked(parser(command).epilog or "")


def variables(_: str) -> str:
    """Return a table of the variables for tulled's settings."""
    rows = ((f"`{one.variables[0]}`", f"`--{one.flag}`: {marked(one.about)}") for one in tulled.OPTIONS)
    return table(("variable", "about"), rows)
