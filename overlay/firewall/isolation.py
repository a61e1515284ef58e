"""Which packets pass between the networks of one host: none but those of published ports.

By pairs of addresses, because a backend like host-gw has no interface for each network: what comes from one network and goes to
another is dropped where the host forwards it, whatever other tables accept. What the host itself translated to a container (a published
port) passes, and so do its answers. `table inet tulle-networks`, written as nft lists it; where there is no nft, a chain of
iptables' mangle, before every accept in filter. With a single network there is neither.
Blind spot: the host's own addresses are INPUT, not forwarded; and a container that forges its source, which is for the bridge to refuse.
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import collapse_addresses, ip_address, ip_network, summarize_address_range
from typing import Any

from overlay.backends import IPNetwork

Json = dict[str, Any]

FAMILY, TABLE = "inet", "tulle-networks"
CHAIN, COMMENT = "TULLE-NETWORKS", "tulled networks"
BEFORE_FILTER = -10
"""Priority of the chain: before the filters people write, behind connection tracking and translation of the destination."""

_HEAD: Json = {"table": {"family": FAMILY, "name": TABLE}}
_PLACE: Json = {"family": FAMILY, "table": TABLE}
_WORDS = {4: "ip", 6: "ip6"}


def zones(networks: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    """Return the ranges to keep apart from one another; () where there is nothing to: at most one in each family.

    A range within another is that other's, which only hosts have that are set up wrongly.
    """
    known = sorted(set(networks), key=lambda one: (one.version, one.prefixlen, int(one.network_address)))
    outer: list[IPNetwork] = []
    for one in known:
        if not any(one.version == other.version and one.overlaps(other) for other in outer):
            outer.append(one)
    several = [version for version in (4, 6) if sum(one.version == version for one in outer) > 1]
    return tuple(one for one in outer if one.version in several)


def table(apart: Sequence[IPNetwork]) -> list[Json]:
    """Return sets, chain and rules as nft lists them, without handles; [] when nothing is to be kept apart."""
    if not apart:
        return []
    shape = {"type": "filter", "hook": "forward", "prio": BEFORE_FILTER, "policy": "accept"}
    versions = sorted({one.version for one in apart})
    return [
        *({"set": one} for version in versions for one in _sets([net for net in apart if net.version == version])),
        {"chain": {**_PLACE, "name": "forward", **shape}},
        _rule({"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"}}, {"accept": None}),
        *(_rule(*_crossing(version), {"drop": None}) for version in versions),
    ]


def changes(apart: Sequence[IPNetwork], listing: Sequence[Json]) -> list[Json]:
    """Return the commands, one transaction, that make the listing of a table that exists what is wanted; [] when it is.

    The table itself stays, with whatever flags it was made; only one that is not wanted is deleted.
    """
    wanted, found = table(apart), [one for one in listing if "table" not in one]
    if not wanted:
        return removal() if listing else []
    if list(map(_comparable, wanted)) == list(map(_comparable, found)):
        return []
    return [*([{"flush": _HEAD}] if found else []), *_deletions(found), *({"add": one} for one in wanted)]


def dormant(listing: Sequence[Json]) -> bool:
    """Return whether somebody switched a table off."""
    return any("dormant" in one["table"].get("flags", ()) for one in listing if "table" in one)


def creation() -> list[Json]:
    """Return the command that makes the table, unless there is one."""
    return [{"add": _HEAD}]


def removal() -> list[Json]:
    """Return the command that deletes the table."""
    return [{"delete": _HEAD}]


def poke() -> list[Json]:
    """Return the commands that make whoever holds the table hear of it; they change nothing."""
    other: Json = {"table": {"family": FAMILY, "name": f"{TABLE}-asked"}}
    return [{"add": other}, {"delete": other}]


def words(apart: Sequence[IPNetwork], version: int) -> tuple[tuple[str, ...], ...]:
    """Return the rules of the chain TULLE-NETWORKS of an IP version, in iptables-save's words without the comment; () for no rule."""
    own = [one for one in apart if one.version == version]
    if not own:
        return ()
    published = ("-m", "conntrack", "--ctstate", "DNAT", "-j", "RETURN")
    pairs = ((one, other) for one in own for other in own if one != other)
    return (published, *(("-s", str(one), "-d", str(other), "-j", "DROP") for one, other in pairs))


def _sets(apart: Sequence[IPNetwork]) -> tuple[Json, Json]:
    version = apart[0].version
    kind = f"ipv{version}_addr"
    flags = {"flags": ["interval"]}
    pairs = [{"concat": [_net(one), _net(one)]} for one in apart]
    return (
        {**_PLACE, "name": f"ours{version}", "type": kind, **flags, "elem": [_net(one) for one in apart]},
        {**_PLACE, "name": f"same{version}", "type": [kind, kind], **flags, "elem": pairs},
    )


def _crossing(version: int) -> tuple[Json, Json, Json]:
    """Return the matches of a packet from one of the networks to another one."""
    source, target = ({"payload": {"protocol": _WORDS[version], "field": field}} for field in ("saddr", "daddr"))
    return (
        {"match": {"op": "==", "left": source, "right": f"@ours{version}"}},
        {"match": {"op": "==", "left": target, "right": f"@ours{version}"}},
        {"match": {"op": "!=", "left": {"concat": [source, target]}, "right": f"@same{version}"}},
    )


def _rule(*expr: Json) -> Json:
    return {"rule": {**_PLACE, "chain": "forward", "expr": list(expr)}}


def _deletions(found: Sequence[Json]) -> list[Json]:
    """Return what removes chains and then sets; the rules were flushed before."""
    named = [(kind, body["name"]) for kind in ("chain", "set", "map") for one in found if (body := one.get(kind))]
    return [{"delete": {kind: {**_PLACE, "name": name}}} for kind, name in named]


def _net(network: IPNetwork) -> Json | str:
    """Write a network as nft lists it: a single address bare."""
    bare = str(network.network_address)
    single = network.prefixlen == network.max_prefixlen
    return bare if single else {"prefix": {"addr": bare, "len": network.prefixlen}}


def _comparable(entry: Json) -> tuple[str, str]:
    """Make entries comparable: without handles and comments, elements as networks whatever way a version of nft lists them."""
    ((kind, body),) = entry.items()
    plain = {key: value for key, value in body.items() if key not in ("handle", "comment", "elem")}
    return kind, f"{sorted(plain.items())} {_elements(body.get('elem', ()))}"


def _elements(listed: Iterable[Any]) -> list[str]:
    """Return the elements of a set in an order of their own; adjoining ranges may be listed as one."""
    single: list[IPNetwork] = []
    pairs: list[str] = []
    for one in listed:
        if isinstance(one, Mapping) and "concat" in one:
            pairs.append(" . ".join(str(net) for part in one["concat"] for net in _networks(part)))
        else:
            single += _networks(one)
    return sorted([*map(str, collapse_addresses(single)), *pairs])  # type: ignore[type-var]


def _networks(listed: Any) -> list[IPNetwork]:
    match listed:
        case {"prefix": {"addr": address, "len": length}}:
            return [ip_network(f"{address}/{length}")]
        case {"range": [first, last]}:
            return list(summarize_address_range(ip_address(first), ip_address(last)))
        case {"elem": {"val": value}}:  # an element that somebody gave a comment, a counter or a time
            return _networks(value)
    return [ip_network(str(listed))]
