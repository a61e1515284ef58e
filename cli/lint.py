"""`tulle lint FILE...`: tells every mistake of configuration files at once, each with its JSON path and the remedy.

Two judges: the schemas see all of a file, the programs' parsers see what a schema cannot say (an address outside its
subnet, ranges that overlap) and decide at run time. Must not change a file, nor judge the keys of programs not ours.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cli import parsers, schemas
from cli.mistakes import Mistake, Place, is_object
from cni import config
from cni.errors import CniError

LIST = "conflist.json"
SINGLE = "plugin.json"


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line of `tulle`."""
    parser = commands.add_parser("lint", help="every mistake of CNI configuration files, and what to do about it")
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="a conflist, or the configuration of one program; - is stdin"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object: a list of mistakes a file")
    parser.set_defaults(show=show)


def show(options: argparse.Namespace) -> int:
    """Print the mistakes of all files; 0 when there are none, else 1."""
    found = {name: mistakes_of(_text(name)) for name in options.files}
    if options.json:
        print(json.dumps({name: [_members(each) for each in found[name]] for name in found}))
    else:
        _print(found)
    return int(any(found.values()))


def mistakes_of(text: bytes | OSError) -> list[Mistake]:
    """Return the mistakes of one file's text, of all judges, in the document's order."""
    if isinstance(text, OSError):
        return [Mistake((), f"cannot be read: {text.strerror}", "check the path and the permissions")]
    try:
        document = config.load(text)
    except CniError as refused:
        return [Mistake((), refused.msg, refused.details or refused.remedy or "write one JSON object")]
    if not is_object(document):
        return [Mistake((), "no JSON object", "a configuration is one object: { ... }")]
    return of_list(document) if _is_list(document) else of_one(document)


def of_one(document: dict[str, Any]) -> list[Mistake]:
    """Return the mistakes of the configuration of one program."""
    spelled = schemas.spelled(document)
    found = schemas.mistakes(spelled, SINGLE)
    return [*found, *parsers.mistakes(spelled, [each.place for each in found])]


def of_list(document: dict[str, Any]) -> list[Mistake]:
    """Return the mistakes of a conflist; its own keys are exact, those of its plugins match in any case (contract 1.7, 1.8)."""
    spelled = dict(document)
    if isinstance(spelled.get("plugins"), list):
        spelled["plugins"] = schemas.spelled(spelled["plugins"])
    found = schemas.mistakes(spelled, LIST)
    return [*_misspelled(document), *found, *_of_plugins(spelled, [each.place for each in found])]


def _of_plugins(document: dict[str, Any], known: list[Place]) -> Iterator[Mistake]:
    """Yield what parsers refuse of each plugin, given what the runtime hands it: name and version are the list's."""
    plugins = document.get("plugins")
    for index, plugin in enumerate(plugins if isinstance(plugins, list) else ()):
        if not is_object(plugin):
            continue
        handed = {**plugin, "name": document.get("name"), "cniVersion": document.get("cniVersion")}
        own = [place[2:] for place in known if place[:2] == ("plugins", index)]
        shared = [place for place in known if place[:1] in (("name",), ("cniVersion",))]
        for each in parsers.mistakes(handed, own + shared):
            if each.place[:1] not in (("name",), ("cniVersion",)):
                yield Mistake(("plugins", index, *each.place), each.problem, each.remedy)


def _misspelled(document: dict[str, Any]) -> Iterator[Mistake]:
    exact = {key.casefold(): key for key in schemas.top_keys(LIST)}
    for key in document:
        wanted = exact.get(key.casefold(), key)
        if wanted != key and wanted not in document:
            yield Mistake(
                (key,), "the runtime does not know this key", f'write "{wanted}": the keys of a list are exact'
            )


def _is_list(document: dict[str, Any]) -> bool:
    """Tell a list from one program's configuration: it has plugins, or nothing else that could say what to run."""
    keys = {key.casefold() for key in document}
    return "plugins" in keys or not keys & {"type", "ipam"}


def _text(name: str) -> bytes | OSError:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as unreadable:
        return unreadable


def _members(mistake: Mistake) -> dict[str, str]:
    return {"path": mistake.path, "problem": mistake.problem, "remedy": mistake.remedy}


def _print(found: dict[str, list[Mistake]]) -> None:
    for name, mistakes in found.items():
        for each in mistakes:
            print(f"{name}: {each.path}: {each.problem}\n    {each.remedy}")
        if not mistakes:
            print(f"{name}: no mistakes")
