"""Compares two outcomes of one case and says in lines what differs, after what is meant to differ was taken out (tests.differential.known)."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.differential import known
from tests.differential.cases import MACS, Json
from tests.differential.sides import Call, Outcome

MAC = re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b")
VETH = re.compile(r"\bveth[0-9a-f]{8,}\b")
NETNS = re.compile(r"/proc/[0-9]+/fd/[0-9]+")


def differences(wanted: Outcome, found: Outcome, *, going_back: bool = False) -> list[str]:
    """Return a line for each difference, none when the two agree.

    What a refused ADD leaves is the reference's own affair: there ours may have less, and is not compared before the DEL. Where ours is
    meant to serve an ADD that the reference refused, nothing of the state can be compared. `going_back` tells that the reference detached
    what ours attached.
    """
    lines = list(_calls(wanted, found))
    refused = {_name(call) for call in wanted.calls if call.verb == "ADD" and not call.passed}
    if any(_name(call) in refused and call.passed for call in found.calls):
        return lines
    gone = _states("gone", wanted.gone, found.gone, going_back=going_back)
    if refused:
        # how far the refused ADD came, before the address or after it, stays in the name of the last one given out
        told = (" = ", "/last_reserved_ip.")
        return [*lines, *(line for line in gone if "ours alone" in line and not any(word in line for word in told))]
    return [*lines, *_states("attached", wanted.attached, found.attached, going_back=False), *gone]


def _calls(wanted: Outcome, found: Outcome) -> Iterator[str]:
    others = {_name(call): call for call in found.calls}
    for one in wanted.calls:
        other = others.get(_name(one))
        if other is None:
            continue  # the chain ended before: that was said at the call that ended it
        if one.passed != other.passed and not (known.served(one) if other.passed else known.refused(other)):
            yield f"{_name(one)}: {_end(one)} by the reference, {_end(other)} by ours"
        elif one.passed and other.passed and plain(one.said) != plain(other.said):
            yield f"{_name(one)} says\n  {plain(one.said)}\n  {plain(other.said)}"


def _name(call: Call) -> str:
    return f"{call.verb} of {call.program} for {call.container}"


def _end(call: Call) -> str:
    return "succeeds" if call.passed else f"is refused ({call.code}: {call.said})"


def plain(value: Any) -> Any:
    """Return a result without what is drawn at random (see `still`)."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items() if (key, one) != ("dns", {})}  # absent and empty are one
    if isinstance(value, list):
        return [plain(one) for one in value]
    return still(value) if isinstance(value, str) else value


def still(text: str) -> str:
    """Return text without what is drawn at random: MACs that no configuration gave, names of veth links, the paths of namespaces."""
    text = MAC.sub(lambda found: found[0] if found[0] in MACS else "MAC", text)
    text = known.IDENTITY.sub(r'"comment": "\1"', text)
    text = known.POLICY.sub("(ingressPolicy: same-bridge|isolated)", text)
    return known.QUEUE.sub(r"\g<1>N", known.COMMENT.sub("", NETNS.sub("NETNS", VETH.sub("veth", text))))


def _states(when: str, wanted: Json, found: Json, *, going_back: bool) -> Iterator[str]:
    for key in wanted:
        one, other = (Counter(map(still, each[key])) for each in (wanted, found))
        for who, lines in (("the reference", one - other), ("ours", other - one)):
            unlisted = (line for line in lines if not known.meant(line, gone=when == "gone", going_back=going_back))
            yield from (f"{when}, {key}: {who} alone has  {line}" for line in unlisted)
