"""The nftables rules that drop frames with a forged MAC (key `macspoofchk`, docs/reference/cni.md 2.6).

Table, chains and comments are the reference's, so that each program can remove what the other added. They name
container and interface but not the network: the host end in the rule tells which attachment it belongs to. The rules
are libnftables JSON.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from cni.attachment_id import COMMENT_BYTES, AttachmentID, shortened

FAMILY = "bridge"
TABLE = "nat"
HOOK = "PREROUTING"
PRIORITY = -300

CHAIN_START = "cni-br-iface-"
COMMENT_START = "macspoofchk-"

Command = dict[str, Any]
Objects = Sequence[Mapping[str, Any]]


def identity(owner: AttachmentID) -> str:
    """Return the text by which chains and comments name the attachment, short enough for a comment of nftables."""
    return shortened(f"{owner.container_id}-{owner.ifname}", COMMENT_BYTES - len(COMMENT_START))


def addition(owner: AttachmentID, host_end: str, mac: str, existing: Objects) -> list[Command]:
    """Return one transaction after which this attachment has one set of rules, whatever is in `existing`."""
    watch, verdict = chains(identity(owner))
    there = _chains_in(existing)
    # Nothing that exists is declared again: that, like a flush or a deletion, makes the kernel wait 16 to 20 ms.
    return [
        *([] if HOOK in there else _frame()),
        *({"flush" if name in there else "add": {"chain": _chain(name)}} for name in (watch, verdict)),
        *_without_jumps(existing, {_comment(owner)}),
        _rule(owner, HOOK, _match({"meta": {"key": "iifname"}}, host_end), {"jump": {"target": watch}}),
        _rule(owner, watch, {"jump": {"target": verdict}}),
        _rule(owner, verdict, _match({"payload": {"protocol": "ether", "field": "saddr"}}, mac), {"return": None}),
        _rule(owner, verdict, {"drop": None}),
    ]


def removal(owner: AttachmentID, existing: Objects) -> list[Command]:
    """Return one transaction that removes this attachment's rules in `existing`; empty when there are none."""
    return _removal({identity(owner)}, existing)


def orphans(existing: Objects, present: Collection[str]) -> list[Command]:
    """Return the commands that remove every set of rules whose host end is not among the `present` links.

    A set without a rule that names its host end is kept.
    """
    dead = {
        str(rule["comment"])[len(COMMENT_START) :]
        for rule in _jumps(existing)
        if _watched(rule) not in {None, *present}
    }
    return _removal(dead, existing)


def complete(owner: AttachmentID, host_end: str, existing: Objects) -> bool:
    """Return whether the attachment's four rules exist and name `host_end`."""
    watch, verdict = chains(identity(owner))
    mine = [rule for rule in _rules(existing) if rule.get("comment") == _comment(owner)]
    count = {name: sum(rule["chain"] == name for rule in mine) for name in (HOOK, watch, verdict)}
    watched = [_watched(rule) for rule in mine if rule["chain"] == HOOK]
    return list(count.values()) == [1, 1, 2] and watched == [host_end]


def chains(name: str) -> tuple[str, str]:
    """Return the names of an attachment's two chains.

    The one that PREROUTING jumps to, and the one that compares the MAC. They are the reference's names, but where the first would
    end in `*`: nft takes such a name for a pattern when a rule jumps to it, and the reference fails. It gets a slash at its end, which
    no container id or interface name can contain, so that the chain is never another attachment's.
    """
    watch = f"{CHAIN_START}{name}"
    return f"{watch}/" if watch.endswith("*") else watch, f"{watch}-mac"


def _removal(names: Collection[str], existing: Objects) -> list[Command]:
    """Return the deletions: jumps first, then each chain before the one it jumps to."""
    there = _chains_in(existing)
    doomed = [chain for name in sorted(names) for chain in chains(name) if chain in there]
    return [
        *_without_jumps(existing, {f"{COMMENT_START}{name}" for name in names}),
        *({"flush": {"chain": _chain(chain)}} for chain in doomed),
        *({"delete": {"chain": _chain(chain)}} for chain in doomed),
    ]


def _chains_in(existing: Objects) -> set[str]:
    return {item["chain"]["name"] for item in existing if "chain" in item}


def _frame() -> list[Command]:
    """Return the commands that make the table and its chain, which every bridged frame passes."""
    hook = {"type": "filter", "hook": "prerouting", "prio": PRIORITY, "policy": "accept"}
    return [{"add": {"table": _table()}}, {"add": {"chain": {**_chain(HOOK), **hook}}}]


def _without_jumps(existing: Objects, comments: Collection[str]) -> list[Command]:
    return [
        {"delete": {"rule": {**_in_table(), "chain": HOOK, "handle": rule["handle"]}}}
        for rule in _jumps(existing)
        if rule["comment"] in comments
    ]


def _rules(existing: Objects) -> list[Mapping[str, Any]]:
    return [item["rule"] for item in existing if "rule" in item]


def _jumps(existing: Objects) -> list[Mapping[str, Any]]:
    """Return the rules in PREROUTING whose comment is ours; nft may have added counters to their expressions."""
    rules = (rule for rule in _rules(existing) if rule["chain"] == HOOK)
    return [rule for rule in rules if str(rule.get("comment", "")).startswith(COMMENT_START)]


def _watched(rule: Mapping[str, Any]) -> str | None:
    """Return the host end that a rule names, if it names one."""
    matches = (statement["match"] for statement in rule.get("expr", ()) if "match" in statement)
    return next((match["right"] for match in matches if match["left"] == {"meta": {"key": "iifname"}}), None)


def _comment(owner: AttachmentID) -> str:
    return f"{COMMENT_START}{identity(owner)}"


def _table() -> Command:
    return {"family": FAMILY, "name": TABLE}


def _in_table() -> Command:
    return {"family": FAMILY, "table": TABLE}


def _chain(name: str) -> Command:
    return {**_in_table(), "name": name}


def _rule(owner: AttachmentID, chain: str, *statements: Command) -> Command:
    return {"add": {"rule": {**_in_table(), "chain": chain, "expr": list(statements), "comment": _comment(owner)}}}


def _match(left: Command, right: str) -> Command:
    return {"match": {"op": "==", "left": left, "right": right}}
