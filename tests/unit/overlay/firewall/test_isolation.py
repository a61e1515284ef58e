"""Claims: with one network, or one of each family, there is nothing to keep apart; a range within another counts as that one; what
nft lists is recognised in whatever way it lists it, and every difference is seen; a table that was switched off is told; what is to go goes; the
iptables form drops every pair, after what passes to published ports.
"""

import copy
from ipaddress import ip_network
from typing import Any

import pytest

from overlay.firewall import isolation
from system.ip import IPNetwork

RED, BLUE = ip_network("10.50.0.0/16"), ip_network("10.60.0.0/16")
RED6, BLUE6 = ip_network("fd00:50::/48"), ip_network("fd00:60::/48")
HEAD = {"table": {"family": "inet", "name": "tulle-networks", "handle": 1}}
BOTH = isolation.zones((RED, BLUE, RED6, BLUE6))


@pytest.mark.parametrize("networks", [(), (RED,), (RED, RED), (RED, BLUE6), (RED, ip_network("10.50.7.0/24"))])
def test_nothing_is_kept_apart_from_itself(networks: tuple[IPNetwork, ...]) -> None:
    assert (isolation.zones(networks), isolation.table(isolation.zones(networks))) == ((), [])


def test_only_families_with_two_networks_count() -> None:
    assert isolation.zones((RED6, BLUE, RED)) == (RED, BLUE)


def test_a_range_within_another_is_that_one() -> None:
    assert isolation.zones((ip_network("10.50.7.0/24"), BLUE, RED)) == (RED, BLUE)


def listing(**table: Any) -> list[dict[str, Any]]:
    """What nft would list for BOTH."""
    entries = copy.deepcopy(isolation.table(BOTH))
    for number, entry in enumerate(entries):
        next(iter(entry.values()))["handle"] = number
    return [{"table": {**HEAD["table"], **table}}, *entries]


def test_our_own_table_needs_no_change() -> None:
    assert isolation.changes(BOTH, listing()) == []


def test_a_range_for_a_prefix_and_merged_neighbours_are_the_same() -> None:
    apart = isolation.zones((ip_network("10.50.0.0/16"), ip_network("10.51.0.0/16")))
    entries = copy.deepcopy(isolation.table(apart))
    entries[0]["set"]["elem"] = [{"range": ["10.50.0.0", "10.51.255.255"]}]
    entries[1]["set"]["elem"].reverse()
    assert isolation.changes(apart, [HEAD, *entries]) == []


@pytest.mark.parametrize("place", range(1, len(listing())))
def test_whatever_is_missing_is_put_back_and_the_table_stays(place: int) -> None:
    found = listing()
    del found[place]
    commands = isolation.changes(BOTH, found)
    assert commands[0] == {"flush": {"table": {"family": "inet", "name": "tulle-networks"}}}
    assert [one["add"] for one in commands if "add" in one] == isolation.table(BOTH)


def test_a_stranger_in_the_table_goes() -> None:
    accept = {"rule": {"family": "inet", "table": "tulle-networks", "chain": "forward", "expr": [{"accept": None}]}}
    assert isolation.changes(BOTH, [*listing()[:-1], accept, listing()[-1]])


def test_a_table_that_was_switched_off_is_told() -> None:
    assert [isolation.dormant(listing(**more)) for more in ({"flags": ["dormant"]}, {"flags": ["owner"]}, {})] == [
        True,
        False,
        False,
    ]


def test_the_table_goes_when_nothing_is_to_be_kept_apart() -> None:
    assert isolation.changes((), listing()) == [{"delete": {"table": {"family": "inet", "name": "tulle-networks"}}}]
    assert isolation.changes((), []) == []


def test_in_iptables_every_pair_is_dropped_but_for_published_ports() -> None:
    assert [" ".join(rule) for rule in isolation.words(BOTH, 6)] == [
        "-m conntrack --ctstate DNAT -j RETURN",
        "-s fd00:50::/48 -d fd00:60::/48 -j DROP",
        "-s fd00:60::/48 -d fd00:50::/48 -j DROP",
    ]
    assert isolation.words((), 4) == ()
