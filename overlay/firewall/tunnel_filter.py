"""Which packets of our tunnel the host takes at all: those of current peers, from their subnets, to ours; all others are dropped.

VXLAN and the UDP backend take a packet from anybody who can send a datagram (moby advisory GHSA-vwm3-crmr-xfxw). So four things are held:
a packet comes from another host, not from a container or out of a tunnel (lease.tunnel has that part, which stands without us, too); it
comes from a peer's address; what is in it comes from that peer's subnet; and it goes to our subnet. Other VNIs that share the port are not
touched. Peers come and go as elements of sets, so that a change costs what changed. Written in nft's own language: its JSON cannot
say a set of `typeof` parts of a packet.
Blind spot: whoever can forge a peer's address passes with what that peer may send. This is no authentication; the backend wireguard is.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import collapse_addresses, ip_address, ip_network
from typing import Any

from lease import tunnel
from lease.tunnel import Tunnel
from overlay.backends import AllowedPeers, IPAddress, IPNetwork
from overlay.firewall.nftables import Json

FAMILY = tunnel.FAMILY
Source = tuple[IPAddress, IPNetwork]
Shape = tuple[AllowedPeers, frozenset[tuple[int, int]]]
"""A tunnel without its peers, and how long addresses and networks behind them are."""
Elements = dict[str, dict[str, Json | str]]
"""The elements of each set, as nft's JSON has them, by a text that tells them apart."""


@dataclass(frozen=True, slots=True)
class Inner:
    """Where the inner packet's addresses begin behind the start of the UDP header, in bits, and what says that they are there."""

    source: int
    target: int
    proof: str


INNER = {
    ("vxlan", 4): Inner(336, 368, "@th,224,16 0x0800"),
    ("vxlan", 6): Inner(304, 432, "@th,224,16 0x86dd"),
    ("bare", 4): Inner(160, 192, "@th,64,4 4"),
}
"""By form and IP version: 8 bytes of UDP, for VXLAN also 8 of its own and 14 of Ethernet, the type in the last two."""
IP = {4: "ip", 6: "ip6"}


@dataclass(frozen=True, slots=True)
class TunnelFilter:
    """A backend's tunnel and who may use it besides its peers; `armed` False takes the table away."""

    tunnel: AllowedPeers
    allowed: tuple[IPNetwork, ...] = ()
    armed: bool = True

    @property
    def table(self) -> str:
        """The name of the table: one for every tunnel on the host."""
        return name(self.tunnel.name)


def name(tunnel_name: str) -> str:
    """Return the name of a tunnel's table: tulle-guard-VNI, tulle-guard-udp, tulle-guard-wireguard."""
    return f"{tunnel.PREFIX}-{tunnel_name}"


def recorded(wish: TunnelFilter) -> Tunnel | None:
    """Return what others must know to keep containers out while we are away; None when the guard is off."""
    guard = wish.tunnel
    return Tunnel(wish.table, guard.ports, guard.vni, underlay=guard.underlay) if wish.armed else None


def script(wish: TunnelFilter) -> str:
    """Return the text that replaces the table at once, whether or not it exists; only takes it away when off."""
    head = f"add table {FAMILY} {wish.table}\ndelete table {FAMILY} {wish.table}\n"
    return head + tunnel.block(wish.table, _lines(wish, elements(wish))) if wish.armed else head


def shape(wish: TunnelFilter) -> Shape:
    """Return all of a table but elements: wishes of one shape differ in these only."""
    lengths = frozenset((network.max_prefixlen, network.prefixlen) for _, network in wish.tunnel.sources)
    return replace(wish.tunnel, sources=frozenset()), lengths


def structure(listing: Sequence[Json]) -> tuple[str, ...]:
    """Return what is in a listing but elements, handles and what was counted."""
    skipped = ("handle", "elem", "packets", "bytes")
    return tuple(
        f"{kind} {sorted((key, str(value)) for key, value in body.items() if key not in skipped)}"
        for one in listing
        for kind, body in one.items()
    )


def full(wish: TunnelFilter, listing: Sequence[Json]) -> list[Json]:
    """Return the commands for the elements that differ in a listing whose structure is right."""
    return _exchange(wish, _found(wish, listing), elements(wish))


def incremental(before: TunnelFilter, after: TunnelFilter) -> list[Json] | None:
    """Return the commands from one wish, as it was carried out, to another; None when more than peers differs."""
    if not after.armed or replace(before, tunnel=after.tunnel) != after or shape(before) != shape(after):
        return None
    old, new = before.tunnel.sources, after.tunnel.sources
    left, come = old - new, new - old
    return _exchange(after, _of(after.tunnel, left, _senders(left, new)), _of(after.tunnel, come, _senders(come, old)))


def _senders(sources: Iterable[Source], others: Iterable[Source]) -> set[IPAddress]:
    """Return the addresses in `sources` that are not in `others`."""
    found = {public for public, _ in sources}
    return found - {public for public, _ in others if public in found}


def elements(wish: TunnelFilter) -> Elements:
    """Return what belongs into every set: peers, allowed networks, and pairs of a peer with the start of an inner address."""
    if wish.tunnel.form == "sealed":
        return {}
    found = _of(wish.tunnel, wish.tunnel.sources, wish.tunnel.peers)
    for version in _versions(wish.tunnel):
        nets = _collapsed(wish.allowed, version)
        found[f"allowed{version}"] = {str(one): _element(one) for one in nets}
    return found


def _of(guard: AllowedPeers, sources: Iterable[Source], peers: Iterable[IPAddress]) -> Elements:
    """Return the elements for these; there is a set of pairs for each length of the peers' subnets: all have the same, as a rule.

    What a peer sends itself has its own address inside, too: a container of ours asked it there without being masqueraded, and it answers.
    """
    found: Elements = {f"peers{version}": {} for version in _versions(guard)}
    for one in peers:
        found[f"peers{one.version}"][str(one)] = str(one)
        _pair(found, one, one, one.max_prefixlen)
    for public, network in sources:
        _pair(found, public, network.network_address, network.prefixlen)
    return found


def _pair(found: Elements, public: IPAddress, inner: IPAddress, length: int) -> None:
    start = int(inner) >> (inner.max_prefixlen - length)
    found.setdefault(f"inner{inner.version}_{length}", {})[f"{public} {start}"] = {"concat": [str(public), hex(start)]}


def _lines(wish: TunnelFilter, held: Elements) -> Iterator[str]:
    guard = wish.tunnel
    outside = Tunnel(wish.table, guard.ports, guard.vni, underlay=guard.underlay)
    out = (f'iifname "{device}" oifname "{guard.underlay}" goto refuse_astray' for device in guard.devices)
    yield from tunnel.refusal("astray")
    yield from tunnel.shared(outside, guard.networks, also=out)
    for key in sorted(held):
        written = ", ".join(map(_written, held[key].values()))
        yield f"set {key} {{ {_declared(wish, key)}" + (f" elements = {{ {written} }}" if written else "") + " }"
    yield from (line for reason in ("stranger", "forged") for line in tunnel.refusal(reason))
    yield from tunnel.chain("received", _received(wish, held))
    yield from tunnel.hook("input", "input", tunnel.BEFORE_FILTER, [*tunnel.met(outside, "received"), *_come(guard)])


def _received(wish: TunnelFilter, held: Elements) -> Iterator[str]:
    """Yield the rules for a packet of ours on its way in: only what is proved in it passes, so nothing is gained by cutting it short.

    Every packet of the network comes through here: those that pass are judged first, and by as little as will do.
    """
    guard = wish.tunnel
    yield tunnel.judged(Tunnel(wish.table, guard.ports, guard.vni, underlay=guard.underlay))
    if guard.vni is not None:
        yield f"{tunnel.VNI} != {guard.vni} return"
    if guard.form == "sealed":
        return
    for version in _versions(guard):
        inner, ip = INNER[guard.form, version], IP[version]
        own, network = (next(one for one in each if one.version == version) for each in (guard.own, guard.networks))
        here = _starts(inner.target, own)
        pairs = [
            f"{inner.proof} {ip} saddr . {_part(inner, key)} @{key}"
            for key in sorted(held)
            if key.startswith(f"inner{version}_")
        ]
        yield from (f"{here} {pair} return" for pair in pairs)
        if held[f"allowed{version}"]:
            yield f"{ip} saddr @allowed{version} {_starts(inner.source, own)} goto refuse_forged"
            yield f"{inner.proof} {ip} saddr @allowed{version} {_starts(inner.source, network)} {here} return"
        yield from (f"{pair} goto refuse_astray" for pair in pairs)
    yield from (f"{IP[version]} saddr @peers{version} goto refuse_forged" for version in _versions(guard))
    yield "goto refuse_stranger"


def _come(guard: AllowedPeers) -> Iterator[str]:
    """Yield the rules for what came out of the tunnel to this host itself, one packet at a time: to our subnet, not about neighbours.

    ARP the devices do not have; IPv6 asks in packets.
    """
    kinds = ("router-solicit", "router-advert", "neighbor-solicit", "neighbor-advert", "redirect")
    for device in guard.devices:
        yield from (f'iifname "{device}" {IP[own.version]} daddr != {own} goto refuse_astray' for own in guard.own)
        if any(own.version == 6 for own in guard.own):
            asked = tunnel.listed(f"nd-{kind}" for kind in kinds)
            yield f'iifname "{device}" icmpv6 type {asked} goto refuse_astray'


def _starts(place: int, network: IPNetwork) -> str:
    """Return the condition that an address at `place` lies in a network; the start of it, as many bits as the network has."""
    return f"@th,{place},{network.prefixlen} {int(network.network_address) >> (network.max_prefixlen - network.prefixlen):#x}"


def _versions(guard: AllowedPeers) -> tuple[int, ...]:
    """Return the families the tunnel's packets come in: with VXLAN as many as there are devices."""
    return tuple(own.version for own in guard.own if (guard.form, own.version) in INNER)


def _part(inner: Inner, key: str) -> str:
    """Return the start of the inner source address, as long as a set of pairs has it."""
    return f"@th,{inner.source},{key.partition('_')[2]}"


def _declared(wish: TunnelFilter, key: str) -> str:
    version = int(key.removeprefix("peers").removeprefix("allowed").removeprefix("inner")[0])
    if key.startswith("inner"):
        return f"typeof {IP[version]} saddr . {_part(INNER[wish.tunnel.form, version], key)};"
    return f"type ipv{version}_addr;" + (" flags interval;" if key.startswith("allowed") else "")


def _exchange(wish: TunnelFilter, there: Elements, wanted: Elements) -> list[Json]:
    """Take out first what must go: of two intervals that overlap nft takes only one."""
    commands = []
    for verb, these, those in (("delete", there, wanted), ("add", wanted, there)):
        for key in sorted(these):
            moved = [these[key][one] for one in sorted(these[key].keys() - those.get(key, {}).keys())]
            place = {"family": FAMILY, "table": wish.table, "name": key}
            commands += [{verb: {"element": {**place, "elem": moved}}}] if moved else []
    return commands


def _found(wish: TunnelFilter, listing: Sequence[Json]) -> Elements:
    sets = {one["set"]["name"]: one["set"].get("elem", ()) for one in listing if "set" in one}
    return {key: dict(_identified(key, one) for one in sets.get(key, ())) for key in elements(wish)}


def _identified(key: str, element: Any) -> tuple[str, Json | str]:
    """Return an element of a listing with the text that tells it apart; nft writes a long number as text, or below zero."""
    if key.startswith("peers"):
        return str(ip_address(element)), element
    if key.startswith("allowed"):
        whole = element if isinstance(element, str) else f"{element['prefix']['addr']}/{element['prefix']['len']}"
        return str(ip_network(whole)), element
    public, start = element["concat"]
    number = int(start, 16) if isinstance(start, str) else int(start) % (1 << int(key.partition("_")[2]))
    return f"{ip_address(public)} {number}", {"concat": [public, hex(number)]}


def _written(element: Json | str) -> str:
    """Write an element in nft's own language."""
    if isinstance(element, str):
        return element
    if "concat" in element:
        return " . ".join(element["concat"])
    return f"{element['prefix']['addr']}/{element['prefix']['len']}"


def _collapsed(networks: Sequence[IPNetwork], version: int) -> list[IPNetwork]:
    """Merge what overlaps or adjoins: nft refuses the one and lists the other merged."""
    return list(collapse_addresses([one for one in networks if one.version == version]))  # type: ignore[type-var]


def _element(network: IPNetwork) -> Json | str:
    """Write a network as nft lists it: a single address bare."""
    bare = str(network.network_address)
    single = network.prefixlen == network.max_prefixlen
    return bare if single else {"prefix": {"addr": bare, "len": network.prefixlen}}
