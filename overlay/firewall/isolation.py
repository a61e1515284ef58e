"""Which packets pass between the networks of one host: only those to published ports, and their answers.

It goes by pairs of addresses, because a backend like host-gw has no interface per network: a forwarded packet from one
network to another is dropped, whatever other tables accept. A packet whose destination the host translated (a published
port) passes, and so does the answer. The rules are in `table inet tulle-networks`; where there is no nft, in a chain of
iptables' mangle table, which comes before every accept in filter. With a single network there is neither.

Packets to the host's own addresses are not forwarded, so nothing here concerns them. A container that forges its source
address is stopped by the spoof filter of its bridge, not here.
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import collapse_addresses, ip_address, ip_network, summarize_address_range
from typing import Any

from system.ip import IPNetwork

Json = dict[str, Any]

FAMILY, TABLE = "inet", "tulle-networks"
CHAIN, COMMENT = "TULLE-NETWORKS", "tulled networks"
BEFORE_FILTER = -10
"""Priority of the chain: before the usual filters (0), after connection tracking (-200) and destination NAT (-100)."""

_HEAD: Json = {"table": {"family": FAMILY, "name": TABLE}}
_PLACE: Json = {"family": FAMILY, "table": TABLE}
_WORDS = {4: "ip", 6: "ip6"}


def zones(networks: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    """Return the ranges to isolate from one another; () when no family has more than one.

    A range inside another one is treated as part of it; only a wrongly configured host has that.
    """
    known = sorted(set(networks), key=lambda one: (one.version, one.prefixlen, int(one.network_address)))
    outer: list[IPNetwork] = []
    for one in known:
        if not any(one.version == other.version and one.overlaps(other) for other in outer):
            outer.append(one)
    several = [version for version in (4, 6) if sum(one.version == version for one in outer) > 1]
    return tuple(one for one in outer if one.version in several)


def table(apart: Sequence[IPNetwork]) -> list[Json]:
    """Return sets, chain and rules as nft lists them, without handles; [] when nothing is to be isolated."""
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
    """Return the commands, one transaction, from the listed table to the wanted one; [] when it is as wanted.

    The table itself stays, with its flags (it may have an owner); it is deleted only when none is wanted.
    """
    wanted, found = table(apart), [one for one in listing if "table" not in one]
    if not wanted:
        return removal() if listing else []
    if list(map(_comparable, wanted)) == list(map(_comparable, found)):
        return []
    return [*([{"flush": _HEAD}] if found else []), *_deletions(found), *({"add": one} for one in wanted)]


def dormant(listing: Sequence[Json]) -> bool:
    """Return whether a table is switched off (the flag dormant)."""
    return any("dormant" in one["table"].get("flags", ()) for one in listing if "table" in one)


def creation() -> list[Json]:
    """Return the command that makes the table, unless there is one."""
    return [{"add": _HEAD}]


def removal() -> list[Json]:
    """Return the command that deletes the table."""
    return [{"delete": _HEAD}]


def poke() -> list[Json]:
    """Return commands that change nothing, but of which the kernel tells the daemon that owns the table."""
    other: Json = {"table": {"family": FAMILY, "name": f"{TABLE}-asked"}}
    return [{"add": other}, {"delete": other}]


def words(apart: Sequence[IPNetwork], version: int) -> tuple[tuple[str, ...], ...]:
    """Return the rules of the chain TULLE-NETWORKS as iptables-save writes them, without the comment; () for none."""
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
    """Return the matches for a packet from one of the networks to another."""
    source, target = ({"payload": {"protocol": _WORDS[version], "field": field}} for field in ("saddr", "daddr"))
    return (
        {"match": {"op": "==", "left": source, "right": f"@ours{version}"}},
        {"match": {"op": "==", "left": target, "right": f"@ours{version}"}},
        {"match": {"op": "!=", "left": {"concat": [source, target]}, "right": f"@same{version}"}},
    )


def _rule(*expr: Json) -> Json:
    return {"rule": {**_PLACE, "chain": "forward", "expr": list(expr)}}


def _deletions(found: Sequence[Json]) -> list[Json]:
    """Return the commands that delete chains and then sets, after the rules were flushed."""
    named = [(kind, body["name"]) for kind in ("chain", "set", "map") for one in found if (body := one.get(kind))]
    return [{"delete": {kind: {**_PLACE, "name": name}}} for kind, name in named]


def _net(network: IPNetwork) -> Json | str:
    """Return a network as nft lists it: a single address without its length."""
    bare = str(network.network_address)
    single = network.prefixlen == network.max_prefixlen
    return bare if single else {"prefix": {"addr": bare, "len": network.prefixlen}}


def _comparable(entry: Json) -> tuple[str, str]:
    """Return an entry in a comparable form: no handle, no comment, elements as networks whatever form nft lists."""
    ((kind, body),) = entry.items()
    plain = {key: value for key, value in body.items() if key not in ("handle", "comment", "elem")}
    return kind, f"{sorted(plain.items())} {_elements(body.get('elem', ()))}"


def _elements(listed: Iterable[Any]) -> list[str]:
    """Return the elements of a set, sorted; adjoining ranges may be listed as one."""
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
