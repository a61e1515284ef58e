"""Claims: the first look writes both tables and turns forwarding on, the next changes nothing, whatever nft lists; a changed rule is
put right; masquerade that is switched off goes; where iptables' FORWARD drops, and only there, the accepts go to FLANNEL-FWD.
"""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network

import pytest

from kernel import namespaces
from overlay.enforcing import Enforcer
from overlay.firewall import Rules
from tests.netns.spaces import Space

FOUR = Rules(ip_network("10.42.0.0/16"), ip_network("10.42.1.0/24"), masquerade=True, forward=True)
SIX = Rules(ip_network("fd00:42::/48"), ip_network("fd00:42:0:1::/64"), masquerade=True, forward=True)


@pytest.fixture
def inside(host: Space) -> Iterator[Space]:
    with namespaces.inside(host.namespace):
        yield host


def test_the_first_look_writes_and_the_next_changes_nothing(inside: Space) -> None:
    enforcer = Enforcer()
    changed, problem = enforcer.enforce((FOUR, SIX))
    assert (problem, len([one for one in changed if one.startswith("replacing table")])) == ("", 2)
    assert enforcer.enforce((FOUR, SIX)) == ((), "")


@pytest.mark.parametrize(("masquerade", "forward"), [(True, False), (False, True), (False, False)])
def test_every_choice_is_recognised_when_listed(inside: Space, masquerade: bool, forward: bool) -> None:
    wanted = [replace(one, masquerade=masquerade, forward=forward, fully_random=False) for one in (FOUR, SIX)]
    Enforcer().enforce(wanted)
    assert Enforcer().enforce(wanted) == ((), "")


def test_the_listing_is_flannels_with_the_mark_masked(inside: Space) -> None:
    Enforcer().enforce((FOUR,))
    listed = inside.run("nft", "list", "chain", "ip", "flannel-ipv4", "postrtg")
    assert "type nat hook postrouting priority srcnat; policy accept;" in listed
    assert "meta mark & 0x00004000 == 0x00004000 return" in listed
    assert "ip saddr != 10.42.0.0/16 ip daddr 10.42.0.0/16 masquerade fully-random" in listed


def test_forwarding_is_on(inside: Space) -> None:
    inside.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
    Enforcer().enforce((FOUR,))
    assert inside.run("sysctl", "-n", "net.ipv4.ip_forward") == "1\n"


@pytest.mark.parametrize("damage", ["flush chain ip flannel-ipv4 forward", "add rule ip flannel-ipv4 forward drop"])
def test_a_changed_rule_is_put_right(inside: Space, damage: str) -> None:
    Enforcer().enforce((FOUR,))
    inside.run("nft", damage)
    assert Enforcer().enforce((FOUR,)) == (("replacing table ip flannel-ipv4",), "")


def test_masquerade_that_is_switched_off_goes(inside: Space) -> None:
    Enforcer().enforce((FOUR,))
    Enforcer().enforce((replace(FOUR, masquerade=False),))
    assert "masquerade" not in inside.run("nft", "list", "table", "ip", "flannel-ipv4")


def test_where_iptables_drops_the_accepts_go_there_too(inside: Space) -> None:
    inside.run("iptables", "-P", "FORWARD", "DROP")
    changed, problem = Enforcer().enforce((FOUR,))
    assert (changed[-1], problem) == ("accepting 10.42.0.0/16 in FLANNEL-FWD", "")
    listed = inside.run("iptables", "-S")
    assert '-A FLANNEL-FWD -s 10.42.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT' in listed
    assert '-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD' in listed
    assert Enforcer().enforce((FOUR,)) == ((), "")


def test_where_iptables_accepts_it_is_left_alone(inside: Space) -> None:
    Enforcer().enforce((FOUR,))
    assert "FLANNEL-FWD" not in inside.run("iptables", "-S")
