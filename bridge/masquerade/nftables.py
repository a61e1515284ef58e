"""Writes the plan's masquerade as nftables rules and finds an attachment's rules again.

See docs/reference/cni.md 2.5, nftables.

Table, chains and comments are the reference's, so that each program can remove what the other added. The rules are
libnftables JSON.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from bridge.plan import Masquerade
from cni.attachment_id import AttachmentID
from system.ip import IPNetwork

FAMILY = "inet"
TABLE = "cni_plugins_masquerade"
RULES = "masq_checks"
HOOK = "postrouting"

Command = dict[str, Any]


def addition(owner: AttachmentID, rules: Iterable[Masquerade], existing: Sequence[Mapping[str, Any]]) -> list[Command]:
    """Return one transaction after which this attachment has exactly `rules`, whatever `existing` objects there are."""
    # An existing table only gets rules: to declare, flush or delete a chain makes the kernel wait 16 to 20 ms.
    return [
        *([] if _stands(existing) else _frame()),
        *removal(existing, owner.mark),
        *(_masquerade_rule(rule, owner.comment) for rule in rules),
    ]


def removal(existing: Sequence[Mapping[str, Any]], mark: str, keep: Collection[str] = ()) -> list[Command]:
    """Return the commands that delete every rule whose comment starts with `mark` and is not in `keep`."""
    return [
        {"delete": {"rule": {**_in_table(), "chain": RULES, "handle": rule["handle"]}}}
        for rule in rules_of(existing, mark)
        if rule.get("comment") not in keep
    ]


def rules_of(existing: Sequence[Mapping[str, Any]], mark: str) -> list[Mapping[str, Any]]:
    """Return the rules in `masq_checks` whose comment starts with `mark`."""
    rules = (item["rule"] for item in existing if "rule" in item)
    return [rule for rule in rules if rule["chain"] == RULES and str(rule.get("comment", "")).startswith(mark)]


def complete(existing: Sequence[Mapping[str, Any]], mark: str, count: int) -> bool:
    """Return whether at least `count` rules have a comment that starts with `mark`, and packets reach them."""
    hooked = [item["rule"].get("expr", ()) for item in existing if "rule" in item and item["rule"]["chain"] == HOOK]
    return len(rules_of(existing, mark)) >= count and any(_leads_to_rules(expression) for expression in hooked)


def _leads_to_rules(expression: Sequence[Command]) -> bool:
    return any({"target": RULES} in statement.values() for statement in expression)


def _stands(existing: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether both chains exist, and the hook contains exactly the rules that lead to `masq_checks`."""
    chains = {item["chain"]["name"] for item in existing if "chain" in item}
    hooked = [item["rule"].get("expr") for item in existing if "rule" in item and item["rule"]["chain"] == HOOK]
    return chains >= {RULES, HOOK} and hooked == _hook_expressions()


def _frame() -> list[Command]:
    """Return the commands that make the table with its chains, or repair it."""
    return [
        {"add": {"table": {"family": FAMILY, "name": TABLE}}},
        {"add": {"chain": {**_in_table(), "name": RULES}}},
        {"add": {"chain": {**_in_table(), "name": HOOK, "type": "nat", "hook": HOOK, "prio": 100, "policy": "accept"}}},
        {"flush": {"chain": {**_in_table(), "name": HOOK}}},
        *(_hook_rule(expression) for expression in _hook_expressions()),
    ]


def _in_table() -> Command:
    return {"family": FAMILY, "table": TABLE}


def _hook_rule(expression: list[Command]) -> Command:
    return {"add": {"rule": {**_in_table(), "chain": HOOK, "expr": expression}}}


def _hook_expressions() -> list[list[Command]]:
    """Return the expressions of the hook's rules: multicast is never masqueraded, other packets go to `masq_checks`."""
    return [
        [_compare("ip", "daddr", "==", _prefix("224.0.0.0", 4)), {"return": None}],
        [_compare("ip6", "daddr", "==", _prefix("ff00::", 8)), {"return": None}],
        [{"goto": {"target": RULES}}],
    ]


def _masquerade_rule(rule: Masquerade, text: str) -> Command:
    protocol = "ip" if rule.address.version == 4 else "ip6"
    expression = [
        _compare(protocol, "saddr", "==", str(rule.address)),
        _compare(protocol, "daddr", "!=", _networks(rule.inside)),
        {"masquerade": None},
    ]
    return {"add": {"rule": {**_in_table(), "chain": RULES, "expr": expression, "comment": text}}}


def _networks(networks: tuple[IPNetwork, ...]) -> Command:
    prefixes = [_prefix(str(network.network_address), network.prefixlen) for network in networks]
    return prefixes[0] if len(prefixes) == 1 else {"set": prefixes}


def _prefix(address: str, length: int) -> Command:
    return {"prefix": {"addr": address, "len": length}}


def _compare(protocol: str, field: str, operator: str, right: Any) -> Command:
    return {"match": {"op": operator, "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}}
