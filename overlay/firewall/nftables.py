"""Writes the rules of overlay.firewall.rules as nft lists them, so that wanted and present rules compare as equal.

Tables and chains are those of docs/reference/flannel.md 6.2, the rules those of 6.1.
"""

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

from overlay.firewall.rules import MARK, AddressMatch, Rule, RuleSet
from system.ip import IPNetwork

Json = dict[str, Any]

POSTROUTING, FORWARD = "postrtg", "forward"


def family(version: int) -> str:
    """Return the word nft uses for a family."""
    return "ip" if version == 4 else "ip6"


def name(version: int) -> str:
    """Return the name flannel gives a family's table."""
    return f"flannel-ipv{version}"


def chains(plan: RuleSet) -> list[Json]:
    """Return the chains as nft lists them, without handles."""
    return [
        _chain(plan, POSTROUTING, "nat", "postrouting", 100, "chain to manage traffic masquerading by flannel"),
        _chain(plan, FORWARD, "filter", "forward", 0, "chain to accept flannel traffic"),
    ]


def rules(plan: RuleSet) -> list[Json]:
    """Return our rules of both chains as nft lists them, without handles."""
    filled = [(POSTROUTING, rule) for rule in plan.masquerade] + [(FORWARD, rule) for rule in plan.forward]
    return [{"rule": {**_place(plan), "chain": chain, "expr": _expression(plan, rule)}} for chain, rule in filled]


def changes(plan: RuleSet, listing: Sequence[Json]) -> list[Json]:
    """Return the commands, one transaction, after which a table has the chains and rules of the plan; [] when it has.

    Rules about other networks are another daemon's and stay. Ours are at the end of a chain; all of them are written
    again when one is missing or their order differs. A chain with another hook or priority than flannel's makes the
    table be replaced.
    """
    found = {one["chain"]["name"]: _bare(one) for one in listing if "chain" in one}
    strange = [one for one in map(_bare, chains(plan)) if (have := found.get(one["chain"]["name"])) and have != one]
    head = {"family": family(plan.version), "name": name(plan.version)}
    made = {"add": {"table": {**head, "comment": f"rules for {name(plan.version)}"}}}
    if strange:
        return [{"delete": {"table": head}}, made, *({"add": one} for one in (*chains(plan), *rules(plan)))]
    missing = [one for one in chains(plan) if one["chain"]["name"] not in found]
    refilled = [command for chain in (POSTROUTING, FORWARD) for command in _refill(plan, chain, listing)]
    return [made, *({"add": one} for one in missing), *refilled] if missing or refilled else []


def removal(plan: RuleSet, listing: Sequence[Json]) -> list[Json]:
    """Return the commands that delete our rules, and the table when it has no rule about another network."""
    found = [one for one in listing if "rule" in one]
    if any(_subject(one) and not _owned(plan, one) for one in found):
        return [_deletion(one) for one in found if _owned(plan, one)]
    return [{"delete": {"table": {"family": family(plan.version), "name": name(plan.version)}}}] if listing else []


def _refill(plan: RuleSet, chain: str, listing: Sequence[Json]) -> list[Json]:
    """Return the commands for our rules in a chain; a rule about no network is shared, and must come before ours."""
    found = [one for one in listing if "rule" in one and one["rule"]["chain"] == chain]
    wanted = [one for one in rules(plan) if one["rule"]["chain"] == chain]
    held = [one for one in found if _owned(plan, one)]
    own, common = ([one for one in wanted if _owned(plan, one) is mine] for mine in (True, False))
    before = list(map(_bare, found[: found.index(held[0])] if held else found))
    if list(map(_bare, held)) == own and all(one in before for one in common):
        return []
    everybodys = [one for one in common if one not in map(_bare, found)]
    return [*map(_deletion, held), *({"add": one} for one in (*everybodys, *own))]


def _deletion(listed: Json) -> Json:
    place = {key: listed["rule"][key] for key in ("family", "table", "chain", "handle")}
    return {"delete": {"rule": place}}


def _owned(plan: RuleSet, entry: Json) -> bool:
    """Return whether a rule is about one of our networks: by its source address, else by its destination."""
    about = _subject(entry)
    return about is not None and any(
        about.version == one.version and about.subnet_of(one)  # type: ignore[arg-type]
        for one in plan.networks
    )


def _subject(entry: Json) -> IPNetwork | None:
    """Return the network a listed rule is about: that of its first match of an address; None for none."""
    for statement in entry["rule"]["expr"]:
        match statement:
            case {"match": {"left": {"payload": {"field": "saddr" | "daddr"}}, "right": str(address)}}:
                return _parsed(address)
            case {"match": {"left": {"payload": {"field": "saddr" | "daddr"}}, "right": {"prefix": prefix}}}:
                return _parsed(f"{prefix['addr']}/{prefix['len']}")
    return None


def _parsed(text: str) -> IPNetwork | None:
    try:
        return ip_network(text)
    except ValueError:  # the name of a set, which neither flanneld nor tulled uses here
        return None


def _expression(plan: RuleSet, rule: Rule) -> list[Json]:
    marked = {"match": {"op": "==", "left": {"&": [{"meta": {"key": "mark"}}, MARK]}, "right": MARK}}
    sides = (("saddr", rule.source), ("daddr", rule.target))
    random = {"flags": "fully-random"} if rule.verdict == "masquerade" and plan.fully_random else None
    return [
        *([marked] if rule.marked else []),
        *(_match(plan, field, side) for field, side in sides if side is not None),
        {rule.verdict: random},
    ]


def _match(plan: RuleSet, field: str, side: AddressMatch) -> Json:
    left = {"payload": {"protocol": family(plan.version), "field": field}}
    return {"match": {"op": "==" if side.inside else "!=", "left": left, "right": _net(side.network)}}


def _chain(plan: RuleSet, chain: str, kind: str, hook: str, priority: int, comment: str) -> Json:
    shape = {"type": kind, "hook": hook, "prio": priority, "policy": "accept", "comment": comment}
    return {"chain": {**_place(plan, name=chain), **shape}}


def _place(plan: RuleSet, **more: Any) -> Json:
    return {"family": family(plan.version), "table": name(plan.version), **more}


def _net(network: IPNetwork) -> Json | str:
    bare = str(network.network_address)
    single = network.prefixlen == network.max_prefixlen
    return bare if single else {"prefix": {"addr": bare, "len": network.prefixlen}}


def _bare(listed: Json) -> Json:
    """Return an entry without the handle, which nft adds, and without comments, which some versions of nft do not list."""
    return {kind: {k: v for k, v in body.items() if k not in ("handle", "comment")} for kind, body in listed.items()}
