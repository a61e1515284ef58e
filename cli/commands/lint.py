"""`tulle lint FILE...`: lists all mistakes of configuration files at once, each with its JSON path and remedy.

It recognises by the content what a file is: a CNI configuration, or the daemon's hosts file, network config,
environment file or lease.

For CNI, the schemas look at the whole file. The programs' own parsers find what a schema cannot say (an address outside
its subnet, ranges that overlap). cli.linting.keys and cli.linting.chain find what both accept and nobody meant. Keys of
programs that are not ours are not judged.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from cli.inspect import detect, foreign_files
from cli.linting import chain, daemon_files, keys, parsers, schemas
from cli.linting.chain import Installed
from cli.linting.finding import Finding, Place, is_object
from cli.nearest import nearest
from cni import json_object
from cni.errors import CniError
from kernel.netlink.handle import Handle

LIST = "conflist.json"
SINGLE = "plugin.json"
DIRECTORIES = tuple(dict.fromkeys([detect.CNI_PLUGINS, *detect.PODMAN_PLUGINS, detect.PACKAGED]))
"""Where runtimes look for programs by default."""
SUFFIXES = (".conf", ".conflist", ".json")
"""The files of a directory that are read."""
DEEPEST = 64
"""Levels of objects and lists. A real configuration has ten."""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line of `tulle`."""
    parser = commands.add_parser("lint", help="every mistake of configuration files, and what to do about it")
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a CNI configuration, a hosts file, a network config, tulled's environment file; a directory of them; - is stdin",
    )
    parser.add_argument(
        "--bin-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="where the runtime has its CNI programs (default: where runtimes look); may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print JSON: a list of mistakes per file")
    parser.set_defaults(show=show)


def show(options: argparse.Namespace) -> int:
    """Print the mistakes of all files. Return 0 when there are none, else 1."""
    installed = programs(tuple(options.bin_dir) or DIRECTORIES)
    found = {name: mistakes_of(_text(name), installed) for given in options.files for name in _names(given)}
    if options.json:
        print(json.dumps({name: [_members(each) for each in found[name]] for name in found}))
    else:
        _print(found)
    return int(any(not each.warning for mistakes in found.values() for each in mistakes))


def programs(directories: tuple[str, ...]) -> Installed:
    """Return the programs in those of the directories that exist."""
    there = tuple(one for one in directories if Path(one).is_dir())
    return Installed(there, frozenset(file.name for one in there for file in Path(one).iterdir()))


def mistakes_of(text: bytes | OSError | foreign_files.Unfit, installed: Installed = Installed()) -> list[Finding]:  # noqa: B008 - frozen
    """Return the mistakes in one file's text, in the order of the document."""
    if isinstance(text, OSError | foreign_files.Unfit):
        reason = text.strerror if isinstance(text, OSError) else str(text)
        return [Finding((), f"cannot be read: {reason}", "check the path and the permissions; - reads stdin")]
    if (judged := _of_text(text)) is not None:
        return judged
    try:
        document = json_object.load(text)
    except CniError as refused:
        return [Finding((), refused.msg, _mended(refused, text))]
    if _depth(document) > DEEPEST:
        return [Finding((), f"nested deeper than {DEEPEST} levels", "no configuration is")]
    if not is_object(document):
        return [Finding((), "no JSON object", "a configuration is one object: { ... }")]
    return [*_doubled(text), *_of_document(document, installed)]


def _of_text(text: bytes) -> list[Finding] | None:
    """Return the mistakes of a text that is not meant to be JSON; None for JSON, or for a text that could be."""
    try:
        words = text.decode()
    except UnicodeDecodeError:
        return None
    if daemon_files.is_lease(words):
        return [*daemon_files.of_lease(words)]
    return [*daemon_files.of_environment(words)] if daemon_files.is_environment(words) else None


def _mended(refused: CniError, text: bytes) -> str:
    """Return what to do about a text that is not valid JSON, by the place of the error."""
    wrong = refused.__cause__
    if not isinstance(wrong, json.JSONDecodeError):
        return refused.details or refused.remedy or "write one JSON object"
    rest, before = wrong.doc[wrong.pos :], wrong.doc[: wrong.pos].rstrip()
    if not text.strip():
        return "the file is empty: write one JSON object"
    if rest.startswith(("//", "#", "/*")) or rest.lstrip().startswith(("//", "#", "/*")):
        return "JSON has no comments: take it out"
    if rest.startswith("'"):
        return 'write "double quotes"'
    behind = (
        rest[1:] if rest.startswith(",") else rest if before.endswith(",") else "-"
    )  # Python 3.13 points at the comma
    if behind.lstrip().startswith(("}", "]")):
        return "take the comma before it out: none stands behind the last element"
    if "',' delimiter" in wrong.msg:
        return (
            "put a comma before it, or close what was opened"
            if rest.strip()
            else "the file ends too early: close every { and ["
        )
    if not rest.strip():
        return "the file ends too early: close every { and ["
    return f"see line {wrong.lineno}: {wrong.doc.splitlines()[wrong.lineno - 1].strip()[:60]!r}"


def _of_document(document: dict[str, Any], installed: Installed) -> list[Finding]:
    """Return the mistakes of an object. Its kind is recognised by keys that no other kind has."""
    names = {key.casefold() for key in document}
    cni = names & {"plugins", "type", "ipam", "cniversion"}
    if not cni and ("hosts" in names or is_object(keys.member(document, "Network"))):
        return list(daemon_files.of_hosts(document))
    if not cni and names & {"network", "backend", "ipv6network"}:
        return list(daemon_files.of_network(document))
    return of_list(document, installed) if _is_list(document) else of_one(document, installed)


def of_one(document: dict[str, Any], installed: Installed = Installed()) -> list[Finding]:  # noqa: B008 - frozen
    """Return the mistakes in the configuration of one program."""
    spelled = schemas.spelled(document)
    near = list(_of_itself(spelled, installed))
    meant = chain.corrected(spelled, installed)
    found = _once(near, schemas.mistakes(meant, SINGLE))
    return [*found, *parsers.mistakes(meant, [each.place for each in found])]


def of_list(document: dict[str, Any], installed: Installed = Installed()) -> list[Finding]:  # noqa: B008 - frozen
    """Return the mistakes in a conflist. Its own keys are exact; those of its plugins match in upper or lower case.

    See docs/reference/cni.md 1.7, 1.8.
    """
    spelled = dict(document)
    near = list(keys.near_misses(document, tuple(schemas.top_keys(LIST)), ()))
    if isinstance(spelled.get("plugins"), list):
        plugins = schemas.spelled(spelled["plugins"])
        near += [*_each(plugins, installed), *chain.order(plugins)]
        spelled["plugins"] = [chain.corrected(each, installed) if is_object(each) else each for each in plugins]
    found = _once(near, schemas.mistakes(spelled, LIST))
    return [*_misspelled(document), *found, *_of_plugins(spelled, [each.place for each in found])]


def _each(plugins: list[Any], installed: Installed) -> Iterator[Finding]:
    """Yield the mistakes of each program of a list."""
    for index, plugin in enumerate(plugins):
        for one in _of_itself(plugin, installed) if is_object(plugin) else ():
            yield replace(one, place=("plugins", index, *one.place))


@cache
def addresses() -> frozenset[str]:
    """Return the addresses of this host, read only when a configuration names one."""
    with Handle() as kernel:
        return frozenset(str(held.address.ip) for held in kernel.addresses())


def _of_itself(plugin: dict[str, Any], installed: Installed) -> Iterator[Finding]:
    """Yield what neither schema nor parser finds.

    An absent program, keys that nobody reads, values that never arrive.
    """
    yield from chain.absent(plugin, installed)
    yield from chain.links(plugin)
    yield from chain.gateways(plugin)
    yield from chain.elsewhere(plugin, addresses)
    kind = plugin.get("type")
    if isinstance(kind, str):
        yield from keys.of_plugin(plugin, chain.meant(kind, installed))
        yield from chain.deaf(plugin)
    else:
        yield from keys.near_misses(plugin, ("type",), ())


def _once(near: list[Finding], found: list[Finding]) -> list[Finding]:
    """Return both, without second findings for a place, and without missing keys that were only misspelled."""
    places = {one.place for one in near}
    meant = {(*one.place[:-1], one.remedy) for one in near}
    missing = [one for one in found if one.problem == "missing"]
    replaced = {one.place for one in missing if (*one.place[:-1], f'did you mean "{one.place[-1]}"?') in meant}
    return [*near, *(one for one in found if one.place not in places | replaced)]


def _doubled(text: bytes) -> Iterator[Finding]:
    """Yield the keys that occur twice in one object: only the last one counts."""
    found: dict[str, None] = {}

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in members]
        found.update({name: None for name in names if names.count(name) > 1} if len(names) < 1000 else {})
        return dict(members)

    json.loads(text, object_pairs_hook=pairs)
    for name in found:
        yield Finding(
            (), f'the key "{name[:80]}" stands twice in one object, and the last one counts', "keep one of them"
        )


def _depth(document: Any) -> int:
    """Return how deep a value is nested, at most DEEPEST + 1."""
    level, depth = [document], 0
    while level and depth <= DEEPEST:
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        depth += 1
    return depth


def _of_plugins(document: dict[str, Any], known: list[Place]) -> Iterator[Finding]:
    """Yield what the parsers refuse of each plugin, with the name and version that the runtime takes from the list."""
    plugins = document.get("plugins")
    for index, plugin in enumerate(plugins if isinstance(plugins, list) else ()):
        if not is_object(plugin):
            continue
        handed = {**plugin, "name": document.get("name"), "cniVersion": document.get("cniVersion")}
        own = [place[2:] for place in known if place[:2] == ("plugins", index)]
        shared = [place for place in known if place[:1] in (("name",), ("cniVersion",))]
        for each in parsers.mistakes(handed, own + shared):
            if each.place[:1] not in (("name",), ("cniVersion",)):
                yield Finding(("plugins", index, *each.place), each.problem, each.remedy)


def _misspelled(document: dict[str, Any]) -> Iterator[Finding]:
    exact = {key.casefold(): key for key in schemas.top_keys(LIST)}
    for key in document:
        wanted = exact.get(key.casefold(), key)
        if wanted != key and wanted not in document:
            yield Finding(
                (key,), "the runtime does not know this key", f'write "{wanted}": the keys of a list are exact'
            )


def _is_list(document: dict[str, Any]) -> bool:
    """Return whether this is a list: it has plugins, or has no key that says what to run."""
    names = {key.casefold() for key in document}
    single = names & {"type", "ipam"} or any(nearest(name, ("type",)) for name in names)
    return "plugins" in names or any(nearest(name, ("plugins",)) for name in names) or not single


def _names(given: str) -> list[str]:
    """Return the files to read: of a directory those that a runtime would read."""
    place = Path(given)
    try:
        if given == "-" or not place.is_dir():
            return [given]
        return sorted(str(one) for one in place.iterdir() if one.suffix in SUFFIXES)
    except (OSError, ValueError):
        return [given]


def _text(name: str) -> bytes | OSError | foreign_files.Unfit:
    try:
        if name == "-":
            text = sys.stdin.buffer.read(foreign_files.LARGEST + 1)
            return text if len(text) <= foreign_files.LARGEST else foreign_files.Unfit("it is too large")
        return foreign_files.content(Path(name))
    except (OSError, foreign_files.Unfit) as unreadable:
        return unreadable


def _members(mistake: Finding) -> dict[str, object]:
    told: dict[str, object] = {"path": mistake.path, "problem": mistake.problem, "remedy": mistake.remedy}
    return {**told, "warning": True} if mistake.warning else told


def _print(found: dict[str, list[Finding]]) -> None:
    for name, mistakes in found.items():
        for each in mistakes:
            print(f"{name}: {'warning: ' if each.warning else ''}{each.path}: {each.problem}\n    {each.remedy}")
        if not mistakes:
            print(f"{name}: no mistakes")
