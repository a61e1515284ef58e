"""Claims: the script replaces the table at once, and only takes it away when off; a packet passes only by what is proved in it, at the
place each form has it; peers stand in sets, with every network behind them under its length, extra networks merged beside them; a
listing is read back as it was written, however nft writes numbers; peers that come and go are elements that come and go, anything else is no step; what is
counted and remembered is no structure, a rule is; a sealed tunnel has no peers; what is recorded is what keeps containers out.
"""

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from lease.tunnel import Tunnel
from overlay.backends import AllowedPeers
from overlay.firewall import tunnel_filter
from overlay.firewall.tunnel_filter import TunnelFilter

OWN = (ip_network("10.42.1.0/24"), ip_network("fd00:42:0:1::/64"))
NETWORKS = (ip_network("10.42.0.0/16"), ip_network("fd00:42::/48"))


def behind(*pairs: str) -> frozenset[Any]:
    return frozenset((ip_address(public), ip_network(net)) for public, _, net in (one.partition(" ") for one in pairs))


LONG = int(ip_address("2001:db8::2"))
SOURCES = behind("192.0.2.2 10.42.2.0/24", "2001:db8::2 fd00:42:0:2::/64")
TUNNEL = AllowedPeers("7", "vxlan", (8472,), "eth0", ("flannel.7", "flannel-v6.7"), OWN, NETWORKS, SOURCES, 7)
WISH = TunnelFilter(TUNNEL, tuple(map(ip_network, ("198.51.100.0/25", "198.51.100.128/25", "203.0.113.7/32"))))
OFF = TunnelFilter(TUNNEL, enabled=False)
SEALED = TunnelFilter(AllowedPeers("wireguard", "sealed", (51820,), "eth0", ("flannel-wg",), OWN[:1], NETWORKS[:1]))
BARE = TunnelFilter(
    AllowedPeers("udp", "bare", (8285,), "eth0", ("flannel0",), OWN[:1], NETWORKS[:1], behind("192.0.2.2 10.42.2.0/24"))
)


def test_peers_and_what_is_behind_them_stand_in_sets() -> None:
    assert {key: list(held.values()) for key, held in tunnel_filter.elements(WISH).items()} == {
        "peers4": ["192.0.2.2"],
        "peers6": ["2001:db8::2"],
        "inner4_24": [{"concat": ["192.0.2.2", hex(0x0A2A02)]}],
        "inner4_32": [{"concat": ["192.0.2.2", hex(0xC0000202)]}],
        "inner6_64": [{"concat": ["2001:db8::2", hex(0xFD00_0042_0000_0002)]}],
        "inner6_128": [{"concat": ["2001:db8::2", hex(LONG)]}],
        "allowed4": [{"prefix": {"addr": "198.51.100.0", "len": 24}}, "203.0.113.7"],
        "allowed6": [],
    }


def test_the_script_replaces_the_table_and_only_takes_it_away_when_off() -> None:
    head = "add table inet tulle-guard-7\ndelete table inet tulle-guard-7\n"
    assert tunnel_filter.script(WISH).startswith(head + "table inet tulle-guard-7 {")
    assert tunnel_filter.script(OFF) == head


@pytest.mark.parametrize(
    ("wish", "rule"),
    [
        (WISH, "@th,368,24 0xa2a01 @th,224,16 0x0800 ip saddr . @th,336,24 @inner4_24 return"),
        (WISH, "@th,432,64 0xfd00004200000001 @th,224,16 0x86dd ip6 saddr . @th,304,64 @inner6_64 return"),
        (BARE, "@th,192,24 0xa2a01 @th,64,4 4 ip saddr . @th,160,24 @inner4_24 return"),
    ],
)
def test_a_packet_passes_by_its_sender_and_the_addresses_in_it(wish: TunnelFilter, rule: str) -> None:
    lines = [line.strip() for line in tunnel_filter.script(wish).splitlines()]
    assert rule in lines[lines.index("chain received {") : lines.index("goto refuse_stranger")]


def test_a_sealed_tunnel_has_no_peers_and_is_closed_to_containers() -> None:
    text = tunnel_filter.script(SEALED)
    assert ("@peers" in text, "stranger" in text.split("chain received {")[1].split("}")[0]) == (False, False)
    assert ("udp dport 51820 jump received" in text, "udp dport 51820 jump forwarded" in text) == (True, True)


LISTED: list[dict[str, Any]] = [
    {"set": {"name": "peers4", "elem": ["192.0.2.2"], "handle": 7}},
    {"set": {"name": "peers6", "elem": ["2001:db8::2"]}},
    {"set": {"name": "inner4_24", "elem": [{"concat": ["192.0.2.2", 0x0A2A02]}]}},
    {"set": {"name": "inner4_32", "elem": [{"concat": ["192.0.2.2", 0xC0000202]}]}},
    {"set": {"name": "inner6_64", "elem": [{"concat": ["2001:db8::2", 0xFD00_0042_0000_0002 - (1 << 64)]}]}},
    {"set": {"name": "inner6_128", "elem": [{"concat": ["2001:db8::2", hex(LONG)]}]}},
    {"set": {"name": "allowed4", "elem": ["203.0.113.7", {"prefix": {"addr": "198.51.100.0", "len": 24}}]}},
    {"set": {"name": "last4", "elem": ["192.0.2.99"]}},
]


def test_a_listing_is_read_back_as_it_was_written() -> None:
    assert tunnel_filter.full(WISH, LISTED) == []


def test_a_long_number_may_be_text() -> None:
    listed: list[dict[str, Any]] = [
        *LISTED[:4],
        {"set": {"name": "inner6_64", "elem": [{"concat": ["2001:db8::2", "0xfd00004200000002"]}]}},
    ]
    assert tunnel_filter.full(WISH, [*listed, *LISTED[5:]]) == []


def replaced(*pairs: str, **more: Any) -> TunnelFilter:
    return replace(WISH, tunnel=replace(TUNNEL, sources=behind(*pairs)), **more)


def element(verb: str, name: str, *elements: Any) -> dict[str, Any]:
    return {verb: {"element": {"family": "inet", "table": "tulle-guard-7", "name": name, "elem": list(elements)}}}


OTHER = replaced("192.0.2.9 10.42.2.0/24", "2001:db8::2 fd00:42:0:2::/64")
EXCHANGE = [
    element("delete", "inner4_24", {"concat": ["192.0.2.2", hex(0x0A2A02)]}),
    element("delete", "inner4_32", {"concat": ["192.0.2.2", hex(0xC0000202)]}),
    element("delete", "peers4", "192.0.2.2"),
    element("add", "inner4_24", {"concat": ["192.0.2.9", hex(0x0A2A02)]}),
    element("add", "inner4_32", {"concat": ["192.0.2.9", hex(0xC0000209)]}),
    element("add", "peers4", "192.0.2.9"),
]


def test_peers_come_and_go_as_elements() -> None:
    assert tunnel_filter.full(OTHER, LISTED) == EXCHANGE


def test_extra_networks_come_and_go_as_elements() -> None:
    allowed = (ip_network("203.0.113.0/24"),)
    assert tunnel_filter.full(replace(WISH, allowed=allowed), LISTED) == [
        element("delete", "allowed4", {"prefix": {"addr": "198.51.100.0", "len": 24}}, "203.0.113.7"),
        element("add", "allowed4", {"prefix": {"addr": "203.0.113.0", "len": 24}}),
    ]


def test_from_wish_to_wish_the_elements_are_the_same() -> None:
    assert tunnel_filter.incremental(WISH, OTHER) == EXCHANGE
    assert tunnel_filter.incremental(WISH, WISH) == []


@pytest.mark.parametrize(
    "after",
    [
        OFF,
        replace(WISH, allowed=()),
        replace(WISH, tunnel=replace(TUNNEL, ports=(4789,))),
        replace(WISH, tunnel=replace(TUNNEL, underlay="eth1")),
        replaced("192.0.2.2 10.42.2.0/25"),
    ],
)
def test_more_than_peers_is_no_step(after: TunnelFilter) -> None:
    assert tunnel_filter.incremental(WISH, after) is None


def test_what_is_counted_is_no_structure_and_a_rule_is() -> None:
    rule: dict[str, Any] = {"rule": {"handle": 4, "expr": [{"drop": None}]}}
    one: list[dict[str, Any]] = [
        {"counter": {"name": "stranger", "packets": 3}},
        {"set": {"name": "last4", "elem": ["192.0.2.9"]}},
        rule,
    ]
    other: list[dict[str, Any]] = [{"counter": {"name": "stranger", "packets": 4}}, {"set": {"name": "last4"}}, rule]
    assert tunnel_filter.structure(one) == tunnel_filter.structure(other)
    assert tunnel_filter.structure(one) != tunnel_filter.structure(one[:2])


def test_what_is_recorded_keeps_containers_out() -> None:
    assert tunnel_filter.recorded(WISH) == Tunnel("tulle-guard-7", (8472,), 7, underlay="eth0")
    assert tunnel_filter.recorded(OFF) is None
