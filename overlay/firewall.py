"""The rules that let container traffic through and out: what they are, and keeping them so.

flannel-contract.md 6.2's tables and chains, with 6.1's rules where nftables mode has them wrong: the mark is tested with
its mask, and a host's packet to a remote container is masqueraded. Expressions are written the way nft lists them, so
that wanted and actual compare as equal. Where the host's own FORWARD policy drops (Docker does that), an accept here
would not help, so the accepts go to the chain FLANNEL-FWD of its iptables too. Nothing is removed at exit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from overlay.backends import IPNetwork

Json = dict[str, Any]

MARK = 0x4000
"""kube-proxy's masquerade mark: such a packet is translated already."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What one family's table must hold: `network` of all hosts, own `subnet`, and which of the chains to fill.

    What containers send to a network of `excluded` keeps its source address.
    """

    network: IPNetwork
    subnet: IPNetwork
    masquerade: bool
    forward: bool
    fully_random: bool = True
    excluded: tuple[IPNetwork, ...] = ()

    @property
    def family(self) -> str:
        """The word nft uses for the family."""
        return "ip" if self.network.version == 4 else "ip6"

    @property
    def table(self) -> str:
        """The name flannel gives the table."""
        return f"flannel-ipv{self.network.version}"


def table(rules: Rules) -> list[Json]:
    """Give the chains and rules as nft lists them, without handles: the wanted content of the table."""
    chains = [
        _chain(rules, "postrtg", "nat", "postrouting", 100, "chain to manage traffic masquerading by flannel"),
        _chain(rules, "forward", "filter", "forward", 0, "chain to accept flannel traffic"),
    ]
    filled = [("postrtg", expr) for expr in _masquerade(rules)] if rules.masquerade else []
    filled += [("forward", expr) for expr in _accepts(rules)] if rules.forward else []
    return [*chains, *({"rule": _place(rules, chain=chain, expr=expr)} for chain, expr in filled)]


def transaction(rules: Rules) -> list[Json]:
    """Give the commands that replace the table's content at once, whether or not it exists."""
    head = {"family": rules.family, "name": rules.table}
    made = {"add": {"table": {**head, "comment": f"rules for {rules.table}"}}}
    return [made, {"delete": {"table": head}}, made, *({"add": one} for one in table(rules))]


def differs(rules: Rules, listing: Sequence[Json]) -> bool:
    """Tell whether a table's listing holds anything else than wanted: order, duplicates and strangers count."""
    found = [_bare(one) for one in listing if "chain" in one or "rule" in one]
    wanted = [_bare(one) for one in table(rules)]
    return _sorted_chains(found) != _sorted_chains(wanted)


def _masquerade(rules: Rules) -> list[list[Json]]:
    everywhere, own = _net(rules.network), _net(rules.subnet)
    saddr, daddr = _address(rules, "saddr"), _address(rules, "daddr")
    multicast = {"prefix": {"addr": "224.0.0.0", "len": 4} if rules.family == "ip" else {"addr": "ff00::", "len": 8}}
    translate: Json = {"masquerade": {"flags": "fully-random"} if rules.fully_random else None}
    back: Json = {"return": None}
    marked = {"&": [{"meta": {"key": "mark"}}, MARK]}
    return [
        [_match("==", marked, MARK), back],
        [_match("==", saddr, own), _match("==", daddr, everywhere), back],
        [_match("==", saddr, everywhere), _match("==", daddr, own), back],
        [_match("!=", saddr, everywhere), _match("==", daddr, own), back],
        *([_match("==", saddr, everywhere), _match("==", daddr, _net(one)), back] for one in rules.excluded),
        [_match("==", saddr, everywhere), _match("!=", daddr, multicast), translate],
        [_match("!=", saddr, everywhere), _match("==", daddr, everywhere), translate],
    ]


def _accepts(rules: Rules) -> list[list[Json]]:
    everywhere = _net(rules.network)
    return [[_match("==", _address(rules, side), everywhere), {"accept": None}] for side in ("saddr", "daddr")]


def _chain(rules: Rules, name: str, kind: str, hook: str, priority: int, comment: str) -> Json:
    shape = {"type": kind, "hook": hook, "prio": priority, "policy": "accept", "comment": comment}
    return {"chain": {**_place(rules, name=name), **shape}}


def _place(rules: Rules, **more: Any) -> Json:
    return {"family": rules.family, "table": rules.table, **more}


def _match(operator: str, left: Json, right: Any) -> Json:
    return {"match": {"op": operator, "left": left, "right": right}}


def _address(rules: Rules, side: str) -> Json:
    return {"payload": {"protocol": rules.family, "field": side}}


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
