"""Asks the programs' own parsers what they think of a configuration, until they have nothing left to say.

A parser stops at its first refusal. So what it refused is taken out of a copy and the parser asked again; what is only a
consequence of taking something out is kept quiet. Must not know schemas or files.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

from catalogue import CHAINED, CNI, INTERFACE, IPAM
from cli.linting.finding import Finding, Place, as_written, copied, is_object, related, take_out
from cni import dispatch, request, versions
from cni.errors import CniError
from cni.json_object import JsonObject
from cni.request import Request

Parser = Callable[[Request], object]

ROUNDS = 100
"""Who has more mistakes than this corrects some and asks again."""

NAMED = re.compile(r'(?:value of|missing|written at|unsupported key) "([^"]+)"|^in (vlanTrunk\[[0-9]+\]):')
"""How the parsers name a place: in the message, or where the message is the reference's, in the remedy."""

COUNTED = re.compile(r"^invalid range set [0-9]+: ")
"""What counts sets, and miscounts once one is taken out; the place tells it better."""

VERSION: Place = ("cniVersion",)
"""Taken out it would mean 0.1.0, which allows less than what was meant; so the newest takes its place."""

GATES: Mapping[str, Place] = {"incompatible CNI versions": VERSION, "network name": ("name",)}
"""The skeleton's refusals, whose words the reference fixes, and what they speak of."""

SOURCES: tuple[Place, ...] = (
    ("ipam", "ranges"),
    ("ipam", "subnet"),
    ("ipam", "subnetFile"),
    ("ipam", "addresses"),
    ("runtimeConfig",),
    ("subnetFile",),
)
"""What refusals without a place speak of: ranges as a whole. They mean nothing when some were taken out."""

WHOLE: Place = ("ipam",)
"""Where such refusals are shown."""


def concerned(config: Mapping[str, Any]) -> tuple[Parser, ...]:
    """Return the parsers of the programs that a configuration's type and ipam.type name, the gates of the skeleton first."""
    ipam = config.get("ipam")
    named = ((config.get("type"), (INTERFACE, CHAINED)), (ipam.get("type") if is_object(ipam) else None, (IPAM,)))
    programs = [CNI[name] for name, roles in named if isinstance(name, str) and name in CNI and CNI[name].role in roles]
    return (_gates, *(_parser(program.parsers) for program in programs if program.parsers))


def mistakes(config: Mapping[str, Any], known: Sequence[Place]) -> Iterator[Finding]:
    """Yield what the concerned parsers refuse, beyond the places `known` to be wrong already."""
    wrong = list(known)
    for parser in concerned(config):
        found = list(_refusals(parser, config, wrong))
        yield from found
        wrong += [each.place for each in found]


def refusal(parser: Parser, config: Any) -> CniError | None:
    """Return what `parser` answers to an ADD with this configuration, None when it takes it."""
    asked = Request(
        command="ADD",
        container_id="lint",
        netns="/run/netns/lint",
        ifname="eth0",
        args="",
        path="/opt/cni/bin",
        stdin=b"",
        config=JsonObject(config),
        environ={},
        log=_silent,
    )
    try:
        parser(asked)
    except CniError as refused:
        return refused
    return None


def _parser(names: Sequence[str]) -> Parser:
    """Return one parser that asks those with these names, MODULE:FUNCTION, one after the other."""

    def ask(asked: Request) -> None:
        for name in names:
            module, _, function = name.partition(":")
            getattr(import_module(module), function)(asked)  # only what the file asks for is loaded

    return ask


def _gates(asked: Request) -> None:
    """Pass what the skeleton checks before it calls a program (docs/reference/cni.md 1.3)."""
    document = json.dumps(dict(asked.config.members)).encode()
    composed = request.compose({}, document, asked.log)
    dispatch.check_version(versions.SUPPORTED, "ADD", replace(asked, config=composed.config).version)


def _refusals(parser: Parser, config: Mapping[str, Any], known: Sequence[Place]) -> Iterator[Finding]:
    document, gone = copied(config), list(known)
    for place in known:
        take_out(document, place)
    if VERSION in gone:
        document[VERSION[0]] = versions.NEWEST
    for _ in range(ROUNDS):
        refused = refusal(parser, document)
        if refused is None:
            return
        named = _named(refused)
        place = as_written(document, named or WHOLE)
        if not any(related(place, other) for other in (gone if named else _sources(gone))):
            yield Finding(place, COUNTED.sub("", refused.msg), _remedy(refused))
        gone.append(place)
        if not named or not take_out(document, place):
            return


def _remedy(refused: CniError) -> str:
    """Return what to do; where the remedy only tells the place, that values of it do not go together."""
    if not refused.remedy or refused.remedy.startswith("written at"):
        return "each value is right by itself, but they do not go together: change one of them"
    return refused.remedy


def _sources(gone: Sequence[Place]) -> list[Place]:
    """Return WHOLE once for every removed place that a refusal without a place could speak of."""
    return [WHOLE for place in gone if any(related(place, source) for source in SOURCES)]


def _named(refused: CniError) -> Place:
    found = NAMED.search(refused.msg) or NAMED.search(refused.remedy)
    if found is None:
        return next((place for words, place in GATES.items() if words in refused.msg), ())
    steps = re.findall(r"[^.\[\]]+|\[[0-9]+\]", found.group(found.lastindex or 0))
    return tuple(int(step[1:-1]) if step.startswith("[") else step for step in steps)


def _silent(_: str) -> None:
    """Drop what a parser logs."""
