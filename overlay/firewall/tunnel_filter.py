"""Which packets the host takes from a tunnel: those from current peers' subnets to ours; all others are dropped.

The kernel's VXLAN, and the UDP backend, take a packet from anybody who can send a datagram (moby advisory
GHSA-vwm3-crmr-xfxw). Four conditions are checked: the packet comes from another host, not from a container or out of a
tunnel (lease.tunnel has that part, which holds without a daemon, too); its outer source is a peer's address; its inner
source is in that peer's subnet; its inner destination is in ours. Other VNIs on the same port are not touched.

Peers are elements of sets, so that a change costs only what changed. The table is written in nft's own language,
because its JSON cannot express a set of `typeof` parts of a packet.

This is no authentication: a sender that can forge a peer's address may send what that peer may. The backend wireguard
authenticates.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import collapse_addresses, ip_address, ip_network
from typing import Any

from lease import tunnel
from lease.tunnel import Tunnel
from overlay.backends import AllowedPeers
from overlay.firewall.nftables import Json
from system.ip import IPAddress, IPNetwork

FAMILY = tunnel.FAMILY
Source = tuple[IPAddress, IPNetwork]
Shape = tuple[AllowedPeers, frozenset[tuple[int, int]]]
"""A tunnel without its peers, and the prefix lengths of their subnets: filters with the same shape differ in elements only."""
Elements = dict[str, dict[str, Json | str]]
"""The elements of each set, in nft's JSON, by a text that identifies them."""


@dataclass(frozen=True, slots=True)
class Inner:
    """Where the inner packet's addresses are in a datagram."""

    source: int
    """Where the inner source address begins, in bits behind the start of the UDP header."""
    target: int
    """Where the inner destination address begins."""
    proof: str
    """The condition that the inner packet is of this kind, in nft's language."""


INNER = {
    ("vxlan", 4): Inner(336, 368, "@th,224,16 0x0800"),
    ("vxlan", 6): Inner(304, 432, "@th,224,16 0x86dd"),
    ("bare", 4): Inner(160, 192, "@th,64,4 4"),
}
"""By form and IP version: 8 bytes of UDP, for VXLAN also 8 of its own and 14 of Ethernet, the type in the last two."""
IP = {4: "ip", 6: "ip6"}


@dataclass(frozen=True, slots=True)
class TunnelFilter:
    """The filter of one tunnel."""

    tunnel: AllowedPeers
    """The tunnel and its peers."""
    allowed: tuple[IPNetwork, ...] = ()
    """Further networks that may send to the tunnel (--tunnel-allow)."""
    enabled: bool = True
    """Whether the filter is wanted; if not, its table is deleted."""

    @property
    def table(self) -> str:
        """The name of the table: one per tunnel on the host."""
        return name(self.tunnel.name)


def name(tunnel_name: str) -> str:
    """Return the name of a tunnel's table: tulle-guard-VNI, tulle-guard-udp, tulle-guard-wireguard."""
    return f"{tunnel.PREFIX}-{tunnel_name}"


def recorded(packet_filter: TunnelFilter) -> Tunnel | None:
    """Return what the programs that attach containers must know of the tunnel; None when the filter is off."""
    guard = packet_filter.tunnel
    return (
        Tunnel(packet_filter.table, guard.ports, guard.vni, underlay=guard.underlay) if packet_filter.enabled else None
    )


def script(packet_filter: TunnelFilter) -> str:
    """Return the nft script that replaces the table in one transaction, or only deletes it when the filter is off."""
    head = f"add table {FAMILY} {packet_filter.table}\ndelete table {FAMILY} {packet_filter.table}\n"
    return (
        head + tunnel.block(packet_filter.table, _lines(packet_filter, elements(packet_filter)))
        if packet_filter.enabled
        else head
    )


def shape(packet_filter: TunnelFilter) -> Shape:
    """Return the shape of a filter: two filters with the same shape differ in set elements only."""
    lengths = frozenset((network.max_prefixlen, network.prefixlen) for _, network in packet_filter.tunnel.sources)
    return replace(packet_filter.tunnel, sources=frozenset()), lengths


def structure(listing: Sequence[Json]) -> tuple[str, ...]:
    """Return a listing without elements, handles and counters, for comparison with another listing."""
    skipped = ("handle", "elem", "packets", "bytes")
    return tuple(
        f"{kind} {sorted((key, str(value)) for key, value in body.items() if key not in skipped)}"
        for one in listing
        for kind, body in one.items()
    )


def full(packet_filter: TunnelFilter, listing: Sequence[Json]) -> list[Json]:
    """Return the commands for the elements that differ from those listed, when the structure is as wanted."""
    return _exchange(packet_filter, _found(packet_filter, listing), elements(packet_filter))


def incremental(before: TunnelFilter, after: TunnelFilter) -> list[Json] | None:
    """Return the commands from one filter, as it is in the kernel, to another; None when more than peers differs."""
    if not after.enabled or replace(before, tunnel=after.tunnel) != after or shape(before) != shape(after):
        return None
    old, new = before.tunnel.sources, after.tunnel.sources
    left, come = old - new, new - old
    return _exchange(after, _of(after.tunnel, left, _senders(left, new)), _of(after.tunnel, come, _senders(come, old)))


def _senders(sources: Iterable[Source], others: Iterable[Source]) -> set[IPAddress]:
    """Return the addresses in `sources` that are not in `others`."""
    found = {public for public, _ in sources}
    return found - {public for public, _ in others if public in found}


def elements(packet_filter: TunnelFilter) -> Elements:
    """Return the elements of every set: peers, allowed networks, and pairs of a peer with the prefix of its subnet."""
    if packet_filter.tunnel.form == "sealed":
        return {}
    found = _of(packet_filter.tunnel, packet_filter.tunnel.sources, packet_filter.tunnel.peers)
    for version in _versions(packet_filter.tunnel):
        nets = _collapsed(packet_filter.allowed, version)
        found[f"allowed{version}"] = {str(one): _element(one) for one in nets}
    return found


def _of(guard: AllowedPeers, sources: Iterable[Source], peers: Iterable[IPAddress]) -> Elements:
    """Return the elements for these peers; there is one set of pairs per prefix length, usually one length for all.

    A peer itself may send from its own address: it answers a container of ours whose packet was not masqueraded.
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


def _lines(packet_filter: TunnelFilter, held: Elements) -> Iterator[str]:
    guard = packet_filter.tunnel
    outside = Tunnel(packet_filter.table, guard.ports, guard.vni, underlay=guard.underlay)
    out = (f'iifname "{device}" oifname "{guard.underlay}" goto refuse_astray' for device in guard.devices)
    yield from tunnel.refusal("astray")
    yield from tunnel.shared(outside, guard.networks, also=out)
    for key in sorted(held):
        written = ", ".join(map(_written, held[key].values()))
        yield (
            f"set {key} {{ {_declared(packet_filter, key)}" + (f" elements = {{ {written} }}" if written else "") + " }"
        )
    yield from (line for reason in ("stranger", "forged") for line in tunnel.refusal(reason))
    yield from tunnel.chain("received", _received(packet_filter, held))
    yield from tunnel.hook("input", "input", tunnel.BEFORE_FILTER, [*tunnel.met(outside, "received"), *_come(guard)])


def _received(packet_filter: TunnelFilter, held: Elements) -> Iterator[str]:
    """Yield the rules for a packet that arrives for our tunnel.

    A packet passes only if all parts match, so a truncated one does not pass. Every packet of the network goes through
    these rules: those that pass match first, with as few comparisons as possible.
    """
    guard = packet_filter.tunnel
    yield tunnel.judged(Tunnel(packet_filter.table, guard.ports, guard.vni, underlay=guard.underlay))
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
    """Yield the rules for packets from the tunnel to this host itself: to our subnet, and no neighbour discovery.

    For IPv4 the devices have ARP off; IPv6 neighbour discovery comes as packets, so it is dropped here.
    """
    kinds = ("router-solicit", "router-advert", "neighbor-solicit", "neighbor-advert", "redirect")
    for device in guard.devices:
        yield from (f'iifname "{device}" {IP[own.version]} daddr != {own} goto refuse_astray' for own in guard.own)
        if any(own.version == 6 for own in guard.own):
            asked = tunnel.listed(f"nd-{kind}" for kind in kinds)
            yield f'iifname "{device}" icmpv6 type {asked} goto refuse_astray'


def _starts(place: int, network: IPNetwork) -> str:
    """Return the condition that the address at bit `place` is in a network: its prefix, compared as a number."""
    return f"@th,{place},{network.prefixlen} {int(network.network_address) >> (network.max_prefixlen - network.prefixlen):#x}"


def _versions(guard: AllowedPeers) -> tuple[int, ...]:
    """Return the IP versions of the inner packets: with VXLAN one per device."""
    return tuple(own.version for own in guard.own if (guard.form, own.version) in INNER)


def _part(inner: Inner, key: str) -> str:
    """Return the prefix of the inner source address, with the length of a set of pairs."""
    return f"@th,{inner.source},{key.partition('_')[2]}"


def _declared(packet_filter: TunnelFilter, key: str) -> str:
    version = int(key.removeprefix("peers").removeprefix("allowed").removeprefix("inner")[0])
    if key.startswith("inner"):
        return f"typeof {IP[version]} saddr . {_part(INNER[packet_filter.tunnel.form, version], key)};"
    return f"type ipv{version}_addr;" + (" flags interval;" if key.startswith("allowed") else "")


def _exchange(packet_filter: TunnelFilter, there: Elements, wanted: Elements) -> list[Json]:
    """Return the commands that change elements, deletions first: nft refuses an interval that overlaps another."""
    commands = []
    for verb, these, those in (("delete", there, wanted), ("add", wanted, there)):
        for key in sorted(these):
            moved = [these[key][one] for one in sorted(these[key].keys() - those.get(key, {}).keys())]
            place = {"family": FAMILY, "table": packet_filter.table, "name": key}
            commands += [{verb: {"element": {**place, "elem": moved}}}] if moved else []
    return commands


def _found(packet_filter: TunnelFilter, listing: Sequence[Json]) -> Elements:
    sets = {one["set"]["name"]: one["set"].get("elem", ()) for one in listing if "set" in one}
    return {key: dict(_identified(key, one) for one in sets.get(key, ())) for key in elements(packet_filter)}


def _identified(key: str, element: Any) -> tuple[str, Json | str]:
    """Return a listed element and the text that identifies it; nft lists a long number as text, or as a negative one."""
    if key.startswith("peers"):
        return str(ip_address(element)), element
    if key.startswith("allowed"):
        whole = element if isinstance(element, str) else f"{element['prefix']['addr']}/{element['prefix']['len']}"
        return str(ip_network(whole)), element
    public, start = element["concat"]
    number = int(start, 16) if isinstance(start, str) else int(start) % (1 << int(key.partition("_")[2]))
    return f"{ip_address(public)} {number}", {"concat": [public, hex(number)]}


def _written(element: Json | str) -> str:
    """Return an element in nft's own language."""
    if isinstance(element, str):
        return element
    if "concat" in element:
        return " . ".join(element["concat"])
    return f"{element['prefix']['addr']}/{element['prefix']['len']}"


def _collapsed(networks: Sequence[IPNetwork], version: int) -> list[IPNetwork]:
    """Return the networks merged: nft refuses those that overlap, and lists adjoining ones as one."""
    return list(collapse_addresses([one for one in networks if one.version == version]))  # type: ignore[type-var]


def _element(network: IPNetwork) -> Json | str:
    """Return a network as nft lists it: a single address without its length."""
    bare = str(network.network_address)
    single = network.prefixlen == network.max_prefixlen
    return bare if single else {"prefix": {"addr": bare, "len": network.prefixlen}}
