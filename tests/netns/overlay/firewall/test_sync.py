"""Claims: the first look writes both tables and turns forwarding on, the next changes nothing, whatever nft lists; a changed rule is
put right in either mode; masquerade that is switched off goes; a change of mode leaves nothing of the other; where iptables' FORWARD drops, and only there, the accepts go to FLANNEL-FWD; what a flanneld in
iptables mode left is removed; excluded networks are spared; what keeps its source is first in POSTROUTING, in either mode, and again
after another came before it, and goes when it is not wanted; the guard of every form is recognised when listed, follows its peers as elements, also over a table somebody damaged, keeps what it counted, and goes when it is off.
"""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from kernel import netns
from overlay.backends import AllowedPeers
from overlay.firewall.rules import NetworkRules
from overlay.firewall.sync import FirewallSync, SyncResult
from overlay.firewall.tunnel_filter import TunnelFilter
from tests.netns.spaces import Space

FOUR = NetworkRules(ip_network("10.42.0.0/16"), ip_network("10.42.1.0/24"), masquerade=True, forward=True, native=True)
SIX = NetworkRules(
    ip_network("fd00:42::/48"), ip_network("fd00:42:0:1::/64"), masquerade=True, forward=True, native=True
)


@pytest.fixture
def inside(host: Space) -> Iterator[Space]:
    with netns.inside(host.namespace):
        yield host


def test_the_first_look_writes_and_the_next_changes_nothing(inside: Space) -> None:
    enforcer = FirewallSync()
    done = enforcer.enforce((FOUR, SIX))
    assert (done.problem, len([one for one in done.changed if one.startswith("setting table")])) == ("", 2)
    assert enforcer.enforce((FOUR, SIX)) == SyncResult((), "")


@pytest.mark.parametrize(("masquerade", "forward"), [(True, False), (False, True), (False, False)])
def test_every_choice_is_recognised_when_listed(inside: Space, masquerade: bool, forward: bool) -> None:
    wanted = [replace(one, masquerade=masquerade, forward=forward, fully_random=False) for one in (FOUR, SIX)]
    FirewallSync().enforce(wanted)
    assert FirewallSync().enforce(wanted) == SyncResult((), "")


def test_the_listing_is_flannels_with_the_mark_masked(inside: Space) -> None:
    FirewallSync().enforce((FOUR,))
    listed = inside.run("nft", "list", "chain", "ip", "flannel-ipv4", "postrtg")
    assert "type nat hook postrouting priority srcnat; policy accept;" in listed
    assert "meta mark & 0x00004000 == 0x00004000 return" in listed
    assert "ip saddr != 10.42.0.0/16 ip daddr 10.42.0.0/16 masquerade fully-random" in listed


def test_forwarding_is_on(inside: Space) -> None:
    inside.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
    FirewallSync().enforce((FOUR,))
    assert inside.run("sysctl", "-n", "net.ipv4.ip_forward") == "1\n"


@pytest.mark.parametrize(
    "damage", ["flush chain ip flannel-ipv4 forward", "insert rule ip flannel-ipv4 forward ip saddr 10.42.7.0/24 drop"]
)
def test_a_changed_rule_is_put_right(inside: Space, damage: str) -> None:
    FirewallSync().enforce((FOUR,))
    inside.run("nft", damage)
    assert FirewallSync().enforce((FOUR,)) == SyncResult(("setting table ip flannel-ipv4",), "")


def test_masquerade_that_is_switched_off_goes(inside: Space) -> None:
    FirewallSync().enforce((FOUR,))
    FirewallSync().enforce((replace(FOUR, masquerade=False),))
    assert "masquerade" not in inside.run("nft", "list", "table", "ip", "flannel-ipv4")


@pytest.mark.parametrize("native", [True, False])
def test_what_keeps_its_source_stays_first_and_goes_when_unwanted(inside: Space, native: bool) -> None:
    enforcer, kept = FirewallSync(), replace(FOUR, native=native, keep_source=True)
    enforcer.enforce((kept,))
    inside.run("iptables", "-t", "nat", "-I", "POSTROUTING", "-s", "10.42.1.0/24", "-j", "MASQUERADE")
    assert enforcer.enforce((kept,)) == SyncResult(("setting TULLE-KEEP-SOURCE of IPv4's iptables",), "")
    assert enforcer.enforce((kept,)) == SyncResult((), "")
    listed = inside.run("iptables", "-t", "nat", "-S").splitlines()
    jumps = [line for line in listed if line.startswith("-A POSTROUTING")]
    assert jumps[0] == '-A POSTROUTING -m comment --comment "tulled keep-source" -j TULLE-KEEP-SOURCE'
    enforcer.enforce((replace(kept, keep_source=False),))
    assert "TULLE" not in inside.run("iptables", "-t", "nat", "-S")


def test_where_iptables_drops_the_accepts_go_there_too(inside: Space) -> None:
    inside.run("iptables", "-P", "FORWARD", "DROP")
    done = FirewallSync().enforce((FOUR,))
    assert (done.changed[-1], done.problem) == ("setting FLANNEL-FWD of IPv4's iptables", "")
    listed = inside.run("iptables", "-S")
    assert '-A FLANNEL-FWD -s 10.42.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT' in listed
    assert '-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD' in listed
    assert FirewallSync().enforce((FOUR,)) == SyncResult((), "")


def test_the_masquerading_a_flanneld_in_iptables_mode_left_is_removed(inside: Space) -> None:
    inside.run("iptables", "-t", "nat", "-N", "FLANNEL-POSTRTG")
    inside.run("iptables", "-t", "nat", "-A", "FLANNEL-POSTRTG", "-s", "10.42.0.0/16", "-j", "MASQUERADE")
    inside.run(
        "iptables",
        "-t",
        "nat",
        "-A",
        "POSTROUTING",
        "-m",
        "comment",
        "--comment",
        "flanneld masq",
        "-j",
        "FLANNEL-POSTRTG",
    )
    inside.run("iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "198.51.100.0/24", "-j", "MASQUERADE")
    assert FirewallSync().enforce((FOUR,)).changed[-1] == "setting FLANNEL-POSTRTG of IPv4's iptables"
    listed = inside.run("iptables", "-t", "nat", "-S")
    assert ("FLANNEL-POSTRTG" in listed, "198.51.100.0/24" in listed) == (False, True)


@pytest.mark.parametrize("text", ["192.168.0.0/16", "192.168.7.7/32"])
def test_excluded_networks_are_recognised_when_listed(inside: Space, text: str) -> None:
    wanted = replace(FOUR, excluded=(ip_network(text),))
    FirewallSync().enforce((wanted,))
    assert FirewallSync().enforce((wanted,)) == SyncResult((), "")
    listed = inside.run("nft", "list", "table", "ip", "flannel-ipv4")
    assert f"ip saddr 10.42.0.0/16 ip daddr {text.removesuffix('/32')} return" in listed


def test_where_iptables_accepts_it_is_left_alone(inside: Space) -> None:
    FirewallSync().enforce((FOUR,))
    assert "FLANNEL-FWD" not in inside.run("iptables", "-S")


CLASSIC = replace(FOUR, native=False)
CLASSIC6 = replace(SIX, native=False)
EXTRA = ["-I", "POSTROUTING", "-m", "comment", "--comment", "flanneld masq", "-j", "FLANNEL-POSTRTG"]


def test_in_iptables_mode_the_first_look_writes_and_the_next_changes_nothing(inside: Space) -> None:
    enforcer = FirewallSync()
    done = enforcer.enforce((CLASSIC, CLASSIC6))
    assert (done.problem, len([one for one in done.changed if one.startswith("setting FLANNEL-")])) == ("", 4)
    assert (enforcer.enforce((CLASSIC, CLASSIC6)), inside.run("nft", "list", "tables").count("flannel-ipv")) == (
        SyncResult((), ""),
        0,
    )


@pytest.mark.parametrize("damage", [["-F", "POSTROUTING"], ["-D", "FLANNEL-POSTRTG", "2"], EXTRA])
def test_in_iptables_mode_damage_is_put_right(inside: Space, damage: list[str]) -> None:
    FirewallSync().enforce((CLASSIC,))
    before = inside.run("iptables", "-t", "nat", "-S")
    inside.run("iptables", "-t", "nat", *damage)
    assert FirewallSync().enforce((CLASSIC,)) == SyncResult(("setting FLANNEL-POSTRTG of IPv4's iptables",), "")
    assert inside.run("iptables", "-t", "nat", "-S") == before


def test_in_iptables_mode_masquerade_that_is_switched_off_goes(inside: Space) -> None:
    FirewallSync().enforce((CLASSIC,))
    FirewallSync().enforce((replace(CLASSIC, masquerade=False),))
    assert "FLANNEL" not in inside.run("iptables", "-t", "nat", "-S")


@pytest.mark.parametrize(("before", "after"), [(FOUR, CLASSIC), (CLASSIC, FOUR)], ids=["to iptables", "to nftables"])
def test_the_other_modes_rules_are_removed(inside: Space, before: NetworkRules, after: NetworkRules) -> None:
    FirewallSync().enforce((before,))
    FirewallSync().enforce((after,))
    tables = inside.run("nft", "list", "tables")
    assert ("flannel-ipv4" in tables, "FLANNEL" in inside.run("iptables-save")) == (after.native, not after.native)


def test_several_networks_share_the_chains(inside: Space) -> None:
    other = replace(CLASSIC, network=ip_network("10.43.0.0/16"), subnet=ip_network("10.43.7.0/24"))
    FirewallSync().enforce((CLASSIC, other))
    listed = inside.run("iptables", "-S", "FLANNEL-FWD")
    assert (listed.count("10.42.0.0/16"), listed.count("10.43.0.0/16")) == (2, 2)
    assert FirewallSync().enforce((CLASSIC, other)) == SyncResult((), "")


def pairs(*words: str) -> frozenset[Any]:
    return frozenset((ip_address(public), ip_network(net)) for public, _, net in (one.partition(" ") for one in words))


OWN = (FOUR.subnet, SIX.subnet)
SOURCES = pairs("192.0.2.2 10.42.2.0/24", "192.0.2.3 10.42.3.0/24", "2001:db8::2 fd00:42:0:2::/64")
ALLOWED = tuple(map(ip_network, ("198.51.100.0/25", "198.51.100.128/25", "203.0.113.7/32", "fd99::/64")))
TUNNEL = AllowedPeers(
    *("1", "vxlan", (8472,), "eth0", ("flannel.1", "flannel-v6.1"), OWN, (FOUR.network, SIX.network), SOURCES), vni=1
)
ODD = pairs("192.0.2.2 10.42.64.0/18", "192.0.2.2 10.42.2.128/27", "2001:db8::2 fd00:42:0:2:8000::/65")
WISHES = [
    TunnelFilter(TUNNEL, ALLOWED),
    TunnelFilter(replace(TUNNEL, name="16777215", vni=(1 << 24) - 1, sources=ODD)),
    TunnelFilter(replace(TUNNEL, sources=frozenset()), ALLOWED),
    TunnelFilter(
        AllowedPeers(
            "udp", "bare", (8285,), "eth0", ("flannel0",), OWN[:1], (FOUR.network,), pairs("192.0.2.2 10.42.2.0/24")
        )
    ),
    TunnelFilter(
        AllowedPeers(
            "wireguard",
            "sealed",
            (51820, 51821),
            "eth0",
            ("flannel-wg", "flannel-wg-v6"),
            OWN,
            (FOUR.network, SIX.network),
        )
    ),
]


@pytest.mark.parametrize("wish", WISHES)
def test_a_guard_is_recognised_when_listed(inside: Space, wish: TunnelFilter) -> None:
    enforcer = FirewallSync()
    assert enforcer.enforce((), wish).changed == (
        f"letting {len(wish.tunnel.peers)} peers send to the tunnel {wish.tunnel.name}",
    )
    assert enforcer.enforce((), wish) == SyncResult((), "")


def without(*publics: str) -> TunnelFilter:
    return replace(
        WISHES[0], tunnel=replace(TUNNEL, sources=frozenset(one for one in SOURCES if str(one[0]) not in publics))
    )


def test_a_guard_of_an_earlier_start_is_replaced_at_once(inside: Space) -> None:
    FirewallSync().enforce((), WISHES[0])
    FirewallSync().enforce((), without("192.0.2.2"))
    listed = inside.run("nft", "list", "set", "inet", "tulle-guard-1", "peers4")
    assert ("192.0.2.3" in listed, "192.0.2.2" in listed) == (True, False)


def test_peers_that_come_and_go_leave_the_table_in_place(inside: Space) -> None:
    enforcer = FirewallSync()
    enforcer.enforce((), WISHES[0])
    before = inside.run("nft", "-a", "list", "chain", "inet", "tulle-guard-1", "received")
    fewer = replace(without("192.0.2.2"), allowed=ALLOWED[2:])
    enforcer.enforce((), fewer)
    assert enforcer.enforce((), fewer) == SyncResult((), "")
    enforcer.follow(fewer, replace(fewer, tunnel=TUNNEL))
    assert enforcer.enforce((), replace(fewer, tunnel=TUNNEL)) == SyncResult((), "")
    assert inside.run("nft", "-a", "list", "chain", "inet", "tulle-guard-1", "received") == before


def test_what_is_counted_and_remembered_is_no_change(inside: Space) -> None:
    enforcer = FirewallSync()
    enforcer.enforce((), WISHES[0])
    inside.run("nft", "add", "element", "inet", "tulle-guard-1", "last4", "{ 192.0.2.99 }")
    assert enforcer.enforce((), WISHES[0]) == SyncResult((), "")


@pytest.mark.parametrize("damage", ["flush ruleset", "flush set inet tulle-guard-1 peers4"])
def test_a_step_over_a_damaged_guard_puts_it_right(inside: Space, damage: str) -> None:
    enforcer = FirewallSync()
    enforcer.enforce((), WISHES[0])
    inside.run("nft", damage)
    assert enforcer.follow(WISHES[0], without("192.0.2.2")).changed
    assert enforcer.enforce((), without("192.0.2.2")) == SyncResult((), "")


@pytest.mark.parametrize(
    "damage",
    [
        "flush ruleset",
        "flush chain inet tulle-guard-1 received",
        "flush set inet tulle-guard-1 peers4",
        "flush set inet tulle-guard-1 inner6_64",
        "insert rule inet tulle-guard-1 forward accept",
        "add element inet tulle-guard-1 peers4 { 192.0.2.66 }",
    ],
)
def test_a_damaged_guard_is_put_right(inside: Space, damage: str) -> None:
    enforcer = FirewallSync()
    enforcer.enforce((), WISHES[0])
    before = inside.run("nft", "-s", "list", "table", "inet", "tulle-guard-1")
    inside.run("nft", damage)
    assert enforcer.enforce((), WISHES[0]).changed
    assert enforcer.enforce((), WISHES[0]) == SyncResult((), "")
    assert inside.run("nft", "-s", "list", "table", "inet", "tulle-guard-1") == before


def test_a_guard_that_is_off_goes(inside: Space) -> None:
    off = replace(WISHES[0], enabled=False)
    assert FirewallSync().enforce((), off) == SyncResult((), "")
    FirewallSync().enforce((), WISHES[0])
    assert FirewallSync().enforce((), off).changed == ("taking the guard away",)
    assert "tulle-guard" not in inside.run("nft", "list", "tables")
