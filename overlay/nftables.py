"""Spells the rules of overlay.firewall as nft lists them, so that wanted and actual compare as equal.

flannel-contract.md 6.2's tables and chains, with 6.1's rules. Must not know what the rules are good for.
"""

from collections.abc import Sequence
from typing import Any

from overlay.backends import IPNetwork
from overlay.firewall import MARK, Plan, Rule, Side

Json = dict[str, Any]

POSTROUTING, FORWARD = "postrtg", "forward"


def family(version: int) -> str:
    """Give the word nft uses for a family."""
    return "ip" if version == 4 else "ip6"


def name(version: int) -> str:
    """Give the name flannel gives a family's table."""
    return f"flannel-ipv{version}"


def table(plan: Plan) -> list[Json]:
    """Give the chains and rules as nft lists them, without handles: the wanted content of the table."""
    chains = [
        _chain(plan, POSTROUTING, "nat", "postrouting", 100, "chain to manage traffic masquerading by flannel"),
        _chain(plan, FORWARD, "filter", "forward", 0, "chain to accept flannel traffic"),
    ]
    filled = [(POSTROUTING, rule) for rule in plan.masquerade] + [(FORWARD, rule) for rule in plan.forward]
    return [*chains, *({"rule": _place(plan, chain=chain, expr=_expression(plan, rule))} for chain, rule in filled)]


def transaction(plan: Plan) -> list[Json]:
    """Give the commands that replace the table's content at once, whether or not it exists."""
    head = {"family": family(plan.version), "name": name(plan.version)}
    made = {"add": {"table": {**head, "comment": f"rules for {name(plan.version)}"}}}
    return [made, {"delete": {"table": head}}, made, *({"add": one} for one in table(plan))]


def removal(version: int) -> list[Json]:
    """Give the command that takes an existing table away."""
    return [{"delete": {"table": {"family": family(version), "name": name(version)}}}]


def differs(plan: Plan, listing: Sequence[Json]) -> bool:
    """Tell whether a table's listing holds anything else than wanted: order, duplicates and strangers count."""
    found = [_bare(one) for one in listing if "chain" in one or "rule" in one]
    wanted = [_bare(one) for one in table(plan)]
    return _sorted_chains(found) != _sorted_chains(wanted)


def _expression(plan: Plan, rule: Rule) -> list[Json]:
    marked = {"match": {"op": "==", "left": {"&": [{"meta": {"key": "mark"}}, MARK]}, "right": MARK}}
    sides = (("saddr", rule.source), ("daddr", rule.target))
    random = {"flags": "fully-random"} if rule.verdict == "masquerade" and plan.fully_random else None
    return [
        *([marked] if rule.marked else []),
        *(_match(plan, field, side) for field, side in sides if side is not None),
        {rule.verdict: random},
    ]


def _match(plan: Plan, field: str, side: Side) -> Json:
    left = {"payload": {"protocol": family(plan.version), "field": field}}
    return {"match": {"op": "==" if side.inside else "!=", "left": left, "right": _net(side.network)}}


def _chain(plan: Plan, chain: str, kind: str, hook: str, priority: int, comment: str) -> Json:
    shape = {"type": kind, "hook": hook, "prio": priority, "policy": "accept", "comment": comment}
    return {"chain": {**_place(plan, name=chain), **shape}}


def _place(plan: Plan, **more: Any) -> Json:
    return {"family": family(plan.version), "table": name(plan.version), **more}


def _net(network: IPNetwork) -> Json | str:
    bare = str(network.network_address)
    single = network.prefixlen == network.max_prefixlen
    return bare if single else {"prefix": {"addr": bare, "len": network.prefixlen}}


def _bare(listed: Json) -> Json:
    """Drop what nft adds to a listing, and comments, which some versions do not list."""
    return {kind: {k: v for k, v in body.items() if k not in ("handle", "comment")} for kind, body in listed.items()}


def _sorted_chains(entries: Sequence[Json]) -> list[tuple[str, list[Json]]]:
    """Bring chains in an order of their own while each keeps the order of its rules."""
    chains = sorted((one["chain"]["name"], one) for one in entries if "chain" in one)
    rules = [one["rule"] for one in entries if "rule" in one]
    return [(name, [chain, *(rule for rule in rules if rule["chain"] == name)]) for name, chain in chains]
