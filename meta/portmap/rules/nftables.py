"""Writes published ports as nftables rules and finds an attachment's rules again.

See docs/reference/cni.md 4.1, "nftables shape".

Table, chains and rules are the reference's, with these differences. The reference's comments name only the container,
so that two of its networks would delete each other's rules, and a long id is refused: ours name the attachment.
Conditions are in the rules of their attachment, not before all rules. Only packets for an address of this host are
translated. The rules are libnftables JSON.
"""

from __future__ import annotations

import json
import re
from ipaddress import ip_address

from cni.attachment_id import COMMENT_BYTES, AttachmentID, network_mark
from meta.portmap import conditions
from meta.portmap.claims import Holder, Published

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from typing import Any

    from meta.portmap.plan import Publication, Side
    from system.ip import IPAddress

    Command = dict[str, Any]
    Objects = Sequence[Mapping[str, Any]]

TABLE = "cni_hostport"
TABLE_COMMENT = "CNI portmap plugin"
PORTS = "hostports"
LEGACY = "hostip_hostports"
ALL = "hostports_all"
MASQUERADING = "masquerading"
MARTIANS = "martians"
PROTOCOLS = ("tcp", "udp", "sctp")
FAMILIES = {4: "ip", 6: "ip6"}

HOOKS = {
    "prerouting": {"type": "nat", "hook": "prerouting", "prio": -100, "policy": "accept"},
    "output": {"type": "nat", "hook": "output", "prio": -100, "policy": "accept"},
    MASQUERADING: {"type": "nat", "hook": "postrouting", "prio": 100, "policy": "accept"},
    MARTIANS: {"type": "filter", "hook": "prerouting", "prio": -300, "policy": "accept"},
}

TRANSLATED: Command = {"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"}}

MARK = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}(?=, net: )")
NAMES = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}, net: (\S+), if: (\S+), id: (\S*)")


def addition(plan: Publication, side: Side, existing: Objects, gone: Collection[Holder] = ()) -> list[Command]:
    """Return the commands after which the rules of `side` exist and those of `gone` do not.

    They only add if that suffices. The table must exist.
    """
    doomed = {plan.owner.mark, *(each.key for each in gone)}
    return [
        *_removal(side.family, existing, doomed.__contains__),
        *_frame(plan, side.family, existing),
        *own_rules(plan, side),
    ]


def missing(plan: Publication, side: Side, existing: Objects) -> list[Command]:
    """Return the rules of `side` that are missing, shared ones included.

    For an attachment that the reference made, only the reference's rules count.
    """
    family, present = FAMILIES[side.family], _rules(existing)
    theirs = any(rule.get("comment") == plan.owner.container_id for rule in _own(existing))
    shared = [(chain, rules) for chain, rules in _contents(plan, side.family) if not (theirs and chain == MARTIANS)]
    frame = [_rule(family, chain, *expression) for chain, rules in shared for expression in rules]
    own = [_unconditioned(rule, side) for rule in own_rules(plan, side)]
    if theirs:
        own = [_reference_rule(rule, plan.owner) for rule in own if TRANSLATED not in rule["add"]["rule"]["expr"]]
    standing = _endings(present, {len(wanted["add"]["rule"]["expr"]) for wanted in own})
    return [
        *(wanted for wanted in frame if not any(_is(wanted, rule) for rule in present)),
        *(wanted for wanted in own if _meaning(wanted["add"]["rule"]) not in standing),
    ]


def _reference_rule(command: Command, owner: AttachmentID) -> Command:
    """Return our rule as the reference writes it: with the container's id as the whole comment."""
    return {"add": {"rule": {**command["add"]["rule"], "comment": owner.container_id}}}


def removal(owner: AttachmentID, family: int, existing: Objects, known: Collection[IPAddress] | None) -> list[Command]:
    """Return the commands that delete the attachment's rules, also those that the reference made.

    The reference's name only the container. With `known`, the container's addresses, only the rules for them are
    deleted.
    """
    targets = {str(address) for address in known or ()}

    def is_reference(rule: Mapping[str, Any]) -> bool:
        return rule.get("comment") == owner.container_id and (not targets or bool(targets & _destinations(rule)))

    return [
        *_removal(family, existing, lambda mark: mark == owner.mark),
        *(_deletion(family, rule) for rule in _own(existing) if is_reference(rule)),
    ]


def strangers(network: str, known: Collection[AttachmentID], family: int, existing: Objects) -> list[Command]:
    """Return the commands that delete every rule of `network` that belongs to none of the `known` attachments."""
    start, keep = f"{network_mark(network)}-", {owner.mark for owner in known}
    return _removal(family, existing, lambda mark: mark.startswith(start) and mark not in keep)


def eviction(gone: Collection[Holder], family: int, existing: Objects) -> list[Command]:
    """Return the commands that delete the rules of these attachments."""
    keys = {holder.key for holder in gone}
    return _removal(family, existing, lambda mark: mark in keys)


def published(existing: Objects) -> Iterator[Published]:
    """Yield every port that the containers' rules publish, with its attachment."""
    for rule in _rules(existing):
        dnat = next((each["dnat"] for each in rule["expr"] if "dnat" in each), None)
        ports = [(field["protocol"], value) for field, value in _payloads(rule) if field["field"] == "dport"]
        hosts = [value for field, value in _payloads(rule) if field["field"] == "daddr"]
        if rule["chain"] in (PORTS, LEGACY) and dnat and ports:
            protocol, port = ports[-1]
            yield Published(
                holder=_holder(str(rule.get("comment", ""))),
                protocol=protocol,
                port=port,
                host_ip=ip_address(hosts[-1]) if hosts and isinstance(hosts[-1], str) else None,
                target=ip_address(dnat["addr"]),
            )


def removed(deletions: Sequence[Command], existing: Objects) -> list[Published]:
    """Return what `existing` publishes, and no longer does after `deletions`."""
    handles = {each["delete"]["rule"]["handle"] for each in deletions}
    return (
        list(published([item for item in existing if item.get("rule", {}).get("handle") in handles])) if handles else []
    )


def own_rules(plan: Publication, side: Side) -> list[Command]:
    """Return the attachment's rules: one per mapping, then those for masquerade."""
    family, target = FAMILIES[side.family], str(side.target)
    restrictions = conditions.parse(side.conditions, f"conditionsV{side.family}", side.family)
    rules = []
    for each in plan.of_family(side.family):
        if not _can_hold(restrictions, each.protocol):
            continue
        there = [_payload(family, "daddr", str(each.only_at))] if each.only_at else []
        port = _payload(each.protocol, "dport", each.host_port)
        onward = {"dnat": {"addr": target, "port": each.container_port}}
        rules.append(_rule(family, PORTS, *restrictions, *there, port, onward, comment=plan.owner.comment))
    for sources in _masqueraded(plan, side):
        to_container = _payload(family, "daddr", target)
        rules.append(
            _rule(family, MASQUERADING, *sources, to_container, {"masquerade": None}, comment=plan.owner.comment)
        )
    return rules


def _unconditioned(command: Command, side: Side) -> Command:
    """Return our rule without its conditions, which nft may list differently: only what follows them is compared."""
    rule = command["add"]["rule"]
    skipped = len(conditions.parse(side.conditions, "", side.family)) if rule["chain"] == PORTS else 0
    return {"add": {"rule": {**rule, "expr": rule["expr"][skipped:]}}}


def _can_hold(restrictions: Sequence[Command], protocol: str) -> bool:
    """Return whether conditions can match packets of `protocol`. nft refuses a rule with two protocols."""
    spoken = (each["match"]["left"].get("payload", {}).get("protocol") for each in restrictions)
    return all(each == protocol for each in spoken if each in PROTOCOLS)


def shown(command: Command) -> str:
    """Return a rule in words for people."""
    rule = command["add"]["rule"]
    return f"{rule['family']} {rule['table']} {rule['chain']}: {' '.join(_word(each) for each in rule['expr'])}"


def _masqueraded(plan: Publication, side: Side) -> list[list[Command]]:
    """Return from where packets to the container are masqueraded: itself and the host's loopback, or anywhere.

    Unlike the reference, also from its neighbours on the bridge when they use a published port: without br_netfilter
    the answers would go to them directly, and nothing would translate them back.
    """
    if not plan.snat:
        return []
    if plan.masquerade_all:
        return [[]]
    family, network = FAMILIES[side.family], side.address.network
    sources = [str(side.target), *(["127.0.0.1"] if side.family == 4 else [])]
    neighbours = _payload(family, "saddr", {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}})
    return [*([_payload(family, "saddr", source)] for source in sources), [neighbours, TRANSLATED]]


def _frame(plan: Publication, family: int, existing: Objects) -> Iterator[Command]:
    """Yield what is missing of the shared objects. A shared chain with other rules is made anew."""
    table = {"family": FAMILIES[family], "table": TABLE}
    chains = {item["chain"]["name"] for item in existing if "chain" in item}
    for chain, wanted in _contents(plan, family):
        if chain not in chains:
            yield {"add": {"chain": {**table, "name": chain, **HOOKS.get(chain, {})}}}
        present = [rule for rule in _rules(existing) if rule["chain"] == chain]
        rules = [_rule(FAMILIES[family], chain, *expression) for expression in wanted]
        if rules and not (len(rules) == len(present) and all(map(_is, rules, present))):
            if present:
                yield {"flush": {"chain": {**table, "name": chain}}}
            yield from rules


def _contents(plan: Publication, family: int) -> Iterator[tuple[str, list[list[Command]]]]:
    """Yield the shared chains with their rules; each comes after those it jumps to.

    None instead of rules: the chain has the containers' rules.
    """
    local = {"match": {"op": "==", "left": {"fib": {"result": "type", "flags": ["daddr"]}}, "right": "local"}}
    yield PORTS, []
    yield LEGACY, []
    yield ALL, [[_jump(LEGACY)], [_jump(PORTS)]]
    yield "prerouting", [[local, _jump(ALL)]]  # without the test for local addresses: CVE-2025-67499
    yield "output", [[local, _jump(ALL)]]
    if plan.snat:
        yield MASQUERADING, []
    if family == 4 and plan.from_loopback:
        outside = {"match": {"op": "!=", "left": {"meta": {"key": "iifname"}}, "right": "lo"}}
        loopback = {"prefix": {"addr": "127.0.0.0", "len": 8}}
        yield MARTIANS, [[outside, _payload("ip", "daddr", loopback), {"drop": None}]]


def _removal(family: int, existing: Objects, is_meant: Callable[[str], bool]) -> list[Command]:
    """Return the deletion of the containers' rules whose mark `is_meant` accepts.

    For a rule of the reference it is asked about the whole comment.
    """
    return [_deletion(family, rule) for rule in _own(existing) if is_meant(_key(str(rule.get("comment", ""))))]


def _deletion(family: int, rule: Mapping[str, Any]) -> Command:
    place = {"family": FAMILIES[family], "table": TABLE, "chain": rule["chain"], "handle": rule["handle"]}
    return {"delete": {"rule": place}}


def _rules(existing: Objects) -> list[Mapping[str, Any]]:
    return [item["rule"] for item in existing if "rule" in item]


def _own(existing: Objects) -> list[Mapping[str, Any]]:
    """Return the containers' rules."""
    return [rule for rule in _rules(existing) if rule["chain"] in (PORTS, LEGACY, MASQUERADING)]


def _key(text: str) -> str:
    found = MARK.match(text)
    return found.group() if found else text


def _holder(text: str) -> Holder:
    """Return the attachment of a rule's comment.

    One without a mark is the reference's, which names only the container.
    """
    if not MARK.match(text):
        return Holder(text, f"container {text}")
    found = NAMES.fullmatch(text)  # a long name is shortened, the mark never
    cut = "..." if len(text.encode()) >= COMMENT_BYTES - 3 else ""
    if found is None:
        return Holder(_key(text), text, _key(text))
    network, ifname, container_id = found.groups()
    return Holder(_key(text), f"{network}/{container_id}{cut}", _key(text), network, ifname)


def _payloads(rule: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Any]]:
    for statement in rule["expr"]:
        match = statement.get("match", {})
        left = match.get("left", {})
        if match.get("op") == "==" and isinstance(left, dict) and "payload" in left:
            yield left["payload"], match["right"]


def _destinations(rule: Mapping[str, Any]) -> set[str]:
    """Return the destinations to which a container's rule sends packets, or for which it masquerades."""
    onward = {each["dnat"]["addr"] for each in rule["expr"] if "dnat" in each}
    return onward | {value for field, value in _payloads(rule) if field["field"] == "daddr" and isinstance(value, str)}


def _is(wanted: Command, present: Mapping[str, Any]) -> bool:
    rule = wanted["add"]["rule"]
    if rule["chain"] != present["chain"] or len(rule["expr"]) != len(present["expr"]):
        return False
    return _meaning(rule) == _meaning(present)


def _endings(present: Sequence[Mapping[str, Any]], lengths: Collection[int]) -> frozenset[tuple[str, str | None, str]]:
    """Return the rules without their first matches: each with as many final statements as `lengths` say."""
    return frozenset(
        _meaning({**rule, "expr": rule["expr"][-length:]})
        for rule in present
        for length in lengths
        if length <= len(rule["expr"])
    )


def _meaning(rule: Mapping[str, Any]) -> tuple[str, str | None, str]:
    """Return a rule in an order that does not depend on the version of nft."""
    statements = json.dumps([_plain(each) for each in rule["expr"]], sort_keys=True)
    return rule["chain"], rule.get("comment"), statements


def _plain(value: Any) -> Any:
    """Return a list of one element as that element: versions of nft differ in that."""
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _rule(family: str, chain: str, *statements: Command, comment: str = "") -> Command:
    remark = {"comment": comment} if comment else {}
    return {"add": {"rule": {"family": family, "table": TABLE, "chain": chain, "expr": list(statements), **remark}}}


def _jump(chain: str) -> Command:
    return {"jump": {"target": chain}}


def _payload(protocol: str, field: str, right: Any) -> Command:
    return {"match": {"op": "==", "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}}


def _word(statement: Mapping[str, Any]) -> str:
    ((kind, value),) = statement.items()
    if kind == "match":
        ((door, left),) = value["left"].items()
        if door == "fib":
            return f"fib {_text(left['flags'])} {left['result']} {value['right']}"
        operator = "" if value["op"] == "==" else f"{value['op']} "
        return f"{' '.join(_text(each) for each in left.values())} {operator}{_text(value['right'])}"
    if kind == "dnat":
        address = f"[{value['addr']}]" if ":" in value["addr"] else value["addr"]
        return f"dnat to {address}:{value['port']}"
    return f"{kind} {value['target']}" if value else kind


def _text(value: Any) -> str:
    if isinstance(value, dict) and "prefix" in value:
        return f"{value['prefix']['addr']}/{value['prefix']['len']}"
    if isinstance(value, dict) and "range" in value:
        return "-".join(map(str, value["range"]))
    if isinstance(value, dict) and "set" in value:
        return f"{{ {', '.join(map(_text, value['set']))} }}"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value)
