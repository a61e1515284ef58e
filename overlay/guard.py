"""Which packets of our tunnel the host takes at all: those from current peers; all others of this port and VNI are dropped.

Peers come and go as elements of a set, so that a change costs what changed. VXLAN itself takes a frame from anybody who can send a datagram (moby advisory GHSA-vwm3-crmr-xfxw). The hook is input, where
fragments are whole again; other VNIs that share the port are not touched. Written as nft lists it, like overlay.nftables.
Blind spot: whoever can forge a peer's address passes. This is no authentication; the backend wireguard is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import collapse_addresses

from overlay.backends import Guard, IPAddress, IPNetwork
from overlay.nftables import Json

FAMILY = "inet"
VNI_OFFSET, VNI_BITS = 96, 24
"""Where the VNI stands behind the start of the UDP header: 8 bytes of UDP, 4 of VXLAN flags (RFC 7348)."""
BEFORE_FILTER = -10
"""Priority of the chain: before the filters people write, behind connection tracking."""

Elements = dict[str, dict[str, Json | str]]
"""The elements of each set, as nft lists them, by a text that tells them apart."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A backend's tunnel and who may use it besides its peers; `armed` False takes the table away."""

    tunnel: Guard
    allowed: tuple[IPNetwork, ...] = ()
    armed: bool = True

    @property
    def table(self) -> str:
        """The name of the table: one for every VNI on the host."""
        return name(self.tunnel.vni)


def name(vni: int) -> str:
    """Give the name of a VNI's table."""
    return f"tulle-guard-{vni}"


def table(wish: Wish) -> list[Json]:
    """Give sets, chain and rules as nft lists them, without handles; empty when the guard is off."""
    if not wish.armed:
        return []
    shape = {"type": "filter", "hook": "input", "prio": BEFORE_FILTER, "policy": "accept"}
    chain: Json = {"chain": {"family": FAMILY, "table": wish.table, "name": "input", **shape}}
    return [*(one for version in (4, 6) for one in _sets(wish, version)), chain, *(_rule(wish, one) for one in (4, 6))]


def transaction(wish: Wish) -> list[Json]:
    """Give the commands that replace the table at once, whether or not it exists; only take it away when off."""
    head: Json = {"table": {"family": FAMILY, "name": wish.table}}
    made = [{"add": head}, {"delete": head}]
    return [*made, {"add": head}, *({"add": one} for one in table(wish))] if wish.armed else made


def changes(wish: Wish, listing: Sequence[Json]) -> list[Json]:
    """Give the commands that make the listing what is wanted: none, those for the elements that differ, or the whole table's."""
    wanted, found = table(wish), [one for one in listing if "table" not in one]
    if not wish.armed or sorted(map(_shape, wanted)) != sorted(map(_shape, found)):
        return transaction(wish) if wish.armed or listing else []
    return _exchange(wish, _elements(found), _elements(wanted))


def step(before: Wish, after: Wish) -> list[Json] | None:
    """Give the commands from one wish, as it was carried out, to another; None when more than peers differs."""
    if not after.armed or replace(before, tunnel=after.tunnel) != after or _place(before) != _place(after):
        return None
    left, come = before.tunnel.peers - after.tunnel.peers, after.tunnel.peers - before.tunnel.peers
    return _exchange(after, _peers(left), _peers(come))


def _peers(addresses: Iterable[IPAddress]) -> Elements:
    return {f"peers{version}": {str(one): str(one) for one in _of(addresses, version)} for version in (4, 6)}


def _place(wish: Wish) -> tuple[int, int]:
    return wish.tunnel.port, wish.tunnel.vni


def _exchange(wish: Wish, there: Elements, wanted: Elements) -> list[Json]:
    """Take out first what must go: of two intervals that overlap nft takes only one."""
    commands = []
    for verb, these, those in (("delete", there, wanted), ("add", wanted, there)):
        for name in sorted(these):
            elements = [these[name][key] for key in sorted(these[name].keys() - those.get(name, {}).keys())]
            place = {"family": FAMILY, "table": wish.table, "name": name}
            commands += [{verb: {"element": {**place, "elem": elements}}}] if elements else []
    return commands


def _sets(wish: Wish, version: int) -> list[Json]:
    place = {"family": FAMILY, "table": wish.table, "type": f"ipv{version}_addr"}
    peers: list[Json | str] = [str(one) for one in sorted(_of(wish.tunnel.peers, version), key=int)]
    nets: list[Json | str] = [_element(one) for one in _collapsed(wish.allowed, version)]
    return [
        {"set": {**place, "name": f"peers{version}", **({"elem": peers} if peers else {})}},
        {"set": {**place, "name": f"allowed{version}", "flags": ["interval"], **({"elem": nets} if nets else {})}},
    ]


def _rule(wish: Wish, version: int) -> Json:
    source = {"payload": {"protocol": "ip" if version == 4 else "ip6", "field": "saddr"}}
    vni = {"payload": {"base": "th", "offset": VNI_OFFSET, "len": VNI_BITS}}
    expr = [
        _match("==", {"payload": {"protocol": "udp", "field": "dport"}}, wish.tunnel.port),
        _match("==", vni, wish.tunnel.vni),
        _match("!=", source, f"@peers{version}"),
        _match("!=", source, f"@allowed{version}"),
        {"drop": None},
    ]
    return {"rule": {"family": FAMILY, "table": wish.table, "chain": "input", "expr": expr}}


def _match(operator: str, left: Json, right: int | str) -> Json:
    return {"match": {"op": operator, "left": left, "right": right}}


def _of(addresses: Iterable[IPAddress], version: int) -> list[IPAddress]:
    return [one for one in addresses if one.version == version]


def _collapsed(networks: Sequence[IPNetwork], version: int) -> list[IPNetwork]:
    """Merge what overlaps or adjoins: nft refuses the one and lists the other merged."""
    return list(collapse_addresses([one for one in networks if one.version == version]))  # type: ignore[type-var]


def _element(network: IPNetwork) -> Json | str:
    """Write a network as nft lists it: a single address bare."""
    bare = str(network.network_address)
    single = network.prefixlen == network.max_prefixlen
    return bare if single else {"prefix": {"addr": bare, "len": network.prefixlen}}


def _shape(entry: Json) -> str:
    """Make entries comparable: without handles, and sets without their elements."""
    ((kind, body),) = entry.items()
    return f"{kind} {sorted(((key, value) for key, value in body.items() if key not in ('handle', 'elem')), key=str)}"


def _elements(entries: Sequence[Json]) -> Elements:
    sets = (one["set"] for one in entries if "set" in one)
    return {one["name"]: {str(element): element for element in one.get("elem", ())} for one in sets}
