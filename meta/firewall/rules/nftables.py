"""Writes the plan as nftables rules and finds an attachment's rules again.

The reference has no such backend. One table, `inet cni_firewall`, serves both families. Chains and order are those of
the iptables backend: the policies, the administrator's chain, then the containers' addresses. The rules are libnftables
JSON.

An accept here does not overrule a drop in another table: who has a table that drops must accept containers there as
well.
"""

from __future__ import annotations

from typing import Any

from cni.attachment_id import network_mark
from cni.errors import CniError, Code, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from cni.attachment_id import AttachmentID
    from meta.firewall.plan import Passage

    Objects = Sequence[Mapping[str, Any]]

Command = dict[str, Any]

FAMILY = "inet"
TABLE = "cni_firewall"
TABLE_COMMENT = "CNI firewall plugin"
HOOK = "forward"
OWN = "containers"
FIRST, SECOND = "isolation_stage_1", "isolation_stage_2"
BASE = {"type": "filter", "hook": "forward", "prio": 0, "policy": "accept"}
PROTOCOLS = {4: "ip", 6: "ip6"}

PUBLISHED: Command = {"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"}}
ANSWERS: Command = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}
MARK_LENGTH = 33


def addition(plan: Passage, existing: Objects) -> list[Command]:
    """Return the commands that add the rules to the existing table.

    Rules are only deleted when the attachment has others.
    """
    present = _rules(existing)
    own = own_rules(plan)
    stale = [rule for rule in _marked(existing, plan.owner.mark.__eq__) if not any(_is(each, rule) for each in own)]
    chains = {item["chain"]["name"] for item in existing if "chain" in item}
    return [
        *map(_deletion, stale),
        *(_chain(name) for name in _chains(plan) if name not in chains),
        *_inserted(plan, present),
        *(rule for rule in own if not any(_is(rule, each) for each in present)),
    ]


def missing(plan: Passage, existing: Objects) -> list[Command]:
    """Return the rules that are missing, shared ones included."""
    present = _rules(existing)
    wanted = [rule for rules in _frame(plan) for rule in rules] + own_rules(plan)
    return [rule for rule in wanted if not any(_is(rule, each) for each in present)]


def removal(owner: AttachmentID, existing: Objects) -> list[Command]:
    """Return the commands that delete the attachment's rules."""
    return [_deletion(rule) for rule in _marked(existing, owner.mark.__eq__)]


def strangers(network: str, known: Collection[AttachmentID], existing: Objects) -> list[Command]:
    """Return the commands that delete the rules of every attachment of `network` that is not among the `known`."""
    start, keep = f"{network_mark(network)}-", {owner.mark for owner in known}
    return [_deletion(rule) for rule in _marked(existing, lambda mark: mark.startswith(start) and mark not in keep)]


def own_rules(plan: Passage) -> list[Command]:
    """Return the rules for the attachment's addresses."""
    rules = []
    for address in plan.addresses:
        to, by = (_is_at(PROTOCOLS[address.version], field, str(address)) for field in ("daddr", "saddr"))
        rules += [_rule(OWN, to, ANSWERS, {"accept": None}, comment=plan.owner.comment)]
        rules += [_rule(OWN, by, {"accept": None}, comment=plan.owner.comment)]
    return rules


def shown(command: Command) -> str:
    """Return a rule in words for people."""
    rule = command["add"]["rule"]
    return f"{FAMILY} {TABLE} {rule['chain']}: {' '.join(map(_word, rule['expr']))}"


def _chains(plan: Passage) -> Iterator[str]:
    """Yield the chains; each comes after those it jumps to."""
    yield plan.admin_chain
    yield OWN
    if plan.bridge:
        yield SECOND
        yield FIRST
    yield HOOK


def _frame(plan: Passage) -> Iterator[list[Command]]:
    """Yield the shared rules by chain, in the order that they must have."""
    if plan.bridge:
        inward, outward = _is_link("iifname", "==", plan.bridge), _is_link("oifname", "==", plan.bridge)
        same = [_rule(FIRST, inward, outward, {"drop": None})] if plan.policy == "isolated" else []
        leaves = _rule(FIRST, inward, _is_link("oifname", "!=", plan.bridge), _jump(SECOND))
        yield [_rule(SECOND, outward, {"drop": None})]
        yield [_rule(FIRST, PUBLISHED, {"return": None}), *same, leaves]
        yield [_rule(HOOK, _jump(FIRST)), _rule(HOOK, _jump(OWN))]
    else:
        yield [_rule(HOOK, _jump(OWN))]
    yield [_rule(OWN, _jump(plan.admin_chain))]


def _inserted(plan: Passage, present: Sequence[Mapping[str, Any]]) -> Iterator[Command]:
    """Yield the missing shared rules: inserted before the existing ones, except those that belong behind."""
    fenced = any(_is(_rule(HOOK, _jump(FIRST)), rule) for rule in present)
    for rules in _frame(plan):
        absent = [rule for rule in rules if not any(_is(rule, each) for each in present)]
        behind = [rule for rule in absent if _stands_behind(rule, fenced=fenced)]
        yield from behind
        yield from ({"insert": rule["add"]} for rule in reversed(absent) if rule not in behind)


def _stands_behind(command: Command, *, fenced: bool) -> bool:
    """Return whether a rule belongs behind the others: a bridge's, or the jump to the containers' rules."""
    rule = command["add"]["rule"]
    of_bridge = rule["chain"] in (FIRST, SECOND) and rule["expr"][0] != PUBLISHED
    return of_bridge or (fenced and command == _rule(HOOK, _jump(OWN)))


def _marked(existing: Objects, is_meant: Callable[[str], bool]) -> list[Mapping[str, Any]]:
    """Return the rules of addresses whose comment has a mark that `is_meant` accepts."""
    return [
        rule
        for rule in _rules(existing)
        if rule["chain"] == OWN and is_meant(str(rule.get("comment", ""))[:MARK_LENGTH])
    ]


def _rules(existing: Objects) -> list[Mapping[str, Any]]:
    return [item["rule"] for item in existing if "rule" in item]


def _is(wanted: Command, present: Mapping[str, Any]) -> bool:
    rule = wanted["add"]["rule"]
    if (rule["chain"], rule.get("comment")) != (
        present["chain"],
        present.get("comment"),
    ):  # decides nearly always, and is quick
        return False
    return [_plain(each) for each in rule["expr"]] == [_plain(each) for each in present["expr"]]


def _plain(value: Any) -> Any:
    """Return a list of one element as that element: versions of nft differ in that."""
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return value[0] if len(value) == 1 else sorted(value)
    return value


def _chain(name: str) -> Command:
    return {"add": {"chain": {"family": FAMILY, "table": TABLE, "name": name, **(BASE if name == HOOK else {})}}}


def _rule(chain: str, *statements: Command, comment: str = "") -> Command:
    remark = {"comment": comment} if comment else {}
    return {"add": {"rule": {"family": FAMILY, "table": TABLE, "chain": chain, "expr": list(statements), **remark}}}


def _deletion(rule: Mapping[str, Any]) -> Command:
    place = {"family": FAMILY, "table": TABLE, "chain": rule["chain"], "handle": rule["handle"]}
    return {"delete": {"rule": place}}


def _jump(chain: str) -> Command:
    return {"jump": {"target": chain}}


def _is_at(protocol: str, field: str, address: str) -> Command:
    return {"match": {"op": "==", "left": {"payload": {"protocol": protocol, "field": field}}, "right": address}}


def _is_link(key: str, operator: str, name: str) -> Command:
    r"""Return the match of the interface `name` alone: a final `*` is written `\*`, since it would be a wildcard.

    Raises CniError 7 for a name that nft's language cannot express.
    """
    if name.startswith("@") or name.endswith("\\*"):
        raise CniError(
            Code.INVALID_CONFIG,
            f"nftables cannot name the interface {quoted(name)}: {'a leading @ means a set' if name[0] == '@' else 'its end is an escape'}",
            'choose "backend": "iptables", or another name for the bridge',
        )
    word = f"{name[:-1]}\\*" if name.endswith("*") else name
    return {"match": {"op": operator, "left": {"meta": {"key": key}}, "right": word}}


def _word(statement: Mapping[str, Any]) -> str:
    ((kind, value),) = statement.items()
    if kind != "match":
        return f"{kind} {value['target']}" if value else str(kind)
    ((door, left),) = value["left"].items()
    name = f"{left['protocol']} {left['field']}" if door == "payload" else left["key"]
    right = ",".join(value["right"]) if isinstance(value["right"], list) else value["right"]
    return f"{'' if door != 'ct' else 'ct '}{name} {'!= ' if value['op'] == '!=' else ''}{right}"
