"""Puts the plan's masquerade into nftables words and finds an attachment's rules again (docs/reference/cni.md 2.5, nftables).

Table, chains and comments are the reference's, so that either program can remove what the other added.
Pure: builds and reads libnftables JSON; must not run nft.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from bridge.plan import IPNetwork, Masquerade
from cni.attachment_id import AttachmentID

FAMILY = "inet"
TABLE = "cni_plugins_masquerade"
RULES = "masq_checks"
HOOK = "postrouting"

Command = dict[str, Any]


def addition(owner: AttachmentID, rules: Iterable[Masquerade], existing: Sequence[Mapping[str, Any]]) -> list[Command]:
    """Return one transaction that leaves exactly `rules` for this attachment, whatever `existing` objects are there.

    In a table that stands it only adds: a chain declared again, a flush or a deletion makes the kernel wait for 16-20 ms.
    """
    return [
        *([] if _stands(existing) else _frame()),
        *removal(existing, owner.mark),
        *(_masquerade_rule(rule, owner.comment) for rule in rules),
    ]


def removal(existing: Sequence[Mapping[str, Any]], mark: str, keep: Collection[str] = ()) -> list[Command]:
    """Return the deletion of every rule whose comment starts with `mark`, but for those with a comment in `keep`."""
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
    """Tell whether `count` rules start with `mark`, and whether packets come to them at all."""
    hooked = [item["rule"].get("expr", ()) for item in existing if "rule" in item and item["rule"]["chain"] == HOOK]
    return len(rules_of(existing, mark)) >= count and any(_leads_to_rules(expression) for expression in hooked)


def _leads_to_rules(expression: Sequence[Command]) -> bool:
    return any({"target": RULES} in statement.values() for statement in expression)


def _stands(existing: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether both chains are there, and in the hook exactly what sends packets to the rules."""
    chains = {item["chain"]["name"] for item in existing if "chain" in item}
    hooked = [item["rule"].get("expr") for item in existing if "rule" in item and item["rule"]["chain"] == HOOK]
    return chains >= {RULES, HOOK} and hooked == _hook_expressions()


def _frame() -> list[Command]:
    """Return the table with its chains, which the first ADD makes and any other would mend."""
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
    """Multicast is never translated; everything else is looked up by its source."""
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
