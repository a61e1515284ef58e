"""Claims: flannel's tables and chains, with the mark tested by its mask; our rules are recognised among those of other networks, nft's
additions and comments are no difference; when one is missing, double, of another subnet or out of order, ours are appended again and
no other is touched; missing chains are added; removal leaves what is about other networks, and no table with nothing of anybody's.
"""

import copy
from ipaddress import ip_network
from typing import Any

import pytest

from overlay.firewall import nftables, rules
from overlay.firewall.rules import NetworkRules, RuleSet

RULES = NetworkRules(ip_network("10.42.0.0/16"), ip_network("10.42.1.0/24"), masquerade=True, forward=True)
RULES6 = NetworkRules(ip_network("fd00:42::/48"), ip_network("fd00:42:0:1::/64"), masquerade=True, forward=True)
PLAN, PLAN6 = rules.plan(4, [RULES]), rules.plan(6, [RULES6])


def words(entry: dict[str, Any]) -> str:
    """Spell a rule as nft does, as far as ours go."""
    return " ".join(_statement(statement) for statement in entry["rule"]["expr"])


def _statement(statement: dict[str, Any]) -> str:
    if "match" not in statement:
        ((verb, options),) = statement.items()
        return f"{verb} {options['flags']}" if options else str(verb)
    match, operator = statement["match"], "" if statement["match"]["op"] == "==" else "!= "
    left, right = match["left"], match["right"]
    if "payload" not in left:
        return f"meta mark & {left['&'][1]:#x} == {right:#x}"
    prefix = right["prefix"]
    return f"{left['payload']['protocol']} {left['payload']['field']} {operator}{prefix['addr']}/{prefix['len']}"


def rules_of(plan: RuleSet) -> list[str]:
    return [words(entry) for entry in nftables.rules(plan)]


def test_ipv4_rules_are_flannels_with_the_mark_masked_and_remote_containers_reached() -> None:
    assert rules_of(PLAN) == [
        "meta mark & 0x4000 == 0x4000 return",
        "ip saddr 10.42.1.0/24 ip daddr 10.42.0.0/16 return",
        "ip saddr 10.42.0.0/16 ip daddr 10.42.1.0/24 return",
        "ip saddr != 10.42.0.0/16 ip daddr 10.42.1.0/24 return",
        "ip saddr 10.42.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random",
        "ip saddr != 10.42.0.0/16 ip daddr 10.42.0.0/16 masquerade fully-random",
        "ip saddr 10.42.0.0/16 accept",
        "ip daddr 10.42.0.0/16 accept",
    ]


def test_ipv6_rules_are_the_same_with_its_multicast() -> None:
    assert rules_of(PLAN6)[4] == "ip6 saddr fd00:42::/48 ip6 daddr != ff00::/8 masquerade fully-random"


def test_both_chains_are_there_whether_filled_or_not() -> None:
    assert [entry["chain"]["name"] for entry in nftables.chains(RuleSet(4))] == ["postrtg", "forward"]


def test_ports_need_not_be_random() -> None:
    plan = rules.plan(4, [NetworkRules(RULES.network, RULES.subnet, True, False, fully_random=False)])
    assert rules_of(plan)[4].endswith(" masquerade")


def listing(*plans: RuleSet) -> list[dict[str, Any]]:
    """What nft would list: the entries of these plans, one behind the other, with handles, chains in an order of its own, comments lost."""
    entries = [{"table": {"family": "ip", "name": "flannel-ipv4", "handle": 1}}]
    for number, entry in enumerate(reversed(copy.deepcopy(nftables.chains(PLAN)))):
        entry["chain"].pop("comment")
        entries.append({"chain": {**entry["chain"], "handle": number}})
    listed = [entry for plan in plans or (PLAN,) for entry in nftables.rules(plan)]
    return entries + [{"rule": {**entry["rule"], "handle": number}} for number, entry in enumerate(listed, start=9)]


OTHER = rules.plan(
    4, [NetworkRules(ip_network("10.43.0.0/16"), ip_network("10.43.1.0/24"), masquerade=True, forward=True)]
)
NOTHING = rules.plan(4, [], [RULES.network])
DROP = {"rule": {"family": "ip", "table": "flannel-ipv4", "chain": "forward", "expr": [{"drop": None}], "handle": 99}}


@pytest.mark.parametrize("found", [listing(), listing(OTHER, PLAN), listing(PLAN, OTHER), [*listing(), DROP]])
def test_our_rules_among_others_need_no_change(found: list[dict[str, Any]]) -> None:
    assert nftables.changes(PLAN, found) == []


@pytest.mark.parametrize(
    "found",
    [
        listing()[:-1],
        listing()[:3] + listing()[4:],
        [*listing(), listing()[-1]],
        [*listing()[:4], listing()[5], listing()[4], *listing()[6:]],
        listing(rules.plan(4, [NetworkRules(RULES.network, RULES.network, True, True)])),
        [*listing()[:3], *listing()[4:], listing()[3]],
    ],
    ids=["last", "mark", "double", "order", "another subnet", "mark too late"],
)
def test_ours_are_appended_again_whatever_is_wrong(found: list[dict[str, Any]]) -> None:
    others = [
        {"rule": {**entry["rule"], "handle": 100 + number}} for number, entry in enumerate(nftables.rules(OTHER)[1:])
    ]
    made, *commands = nftables.changes(PLAN, [*found, *others])
    assert "table" in made["add"]
    assert all(one["delete"]["rule"]["handle"] < 100 for one in commands if "delete" in one)
    added = [one["add"] for one in commands if "add" in one]
    assert (bool(added), all(one in nftables.rules(PLAN) for one in added)) == (True, True)


def test_missing_chains_are_added_and_an_absent_table_made() -> None:
    made, *rest = nftables.changes(PLAN, [])
    assert made["add"]["table"]["comment"] == "rules for flannel-ipv4"
    assert [one["add"] for one in rest] == [*nftables.chains(PLAN), *nftables.rules(PLAN)]


def test_a_chain_of_another_shape_has_the_table_made_anew() -> None:
    found = [{"chain": {**entry["chain"], "policy": "drop"}} if "chain" in entry else entry for entry in listing()]
    assert nftables.changes(PLAN, found)[0] == {"delete": {"table": {"family": "ip", "name": "flannel-ipv4"}}}


def test_removal_leaves_what_is_about_other_networks() -> None:
    assert nftables.removal(NOTHING, listing()) == [{"delete": {"table": {"family": "ip", "name": "flannel-ipv4"}}}]
    both = listing(OTHER, PLAN)
    kept = [
        entry["rule"]["handle"] for entry in both if ("rule" in entry and "10.43" in str(entry)) or "mark" in str(entry)
    ]
    gone = [one["delete"]["rule"]["handle"] for one in nftables.removal(NOTHING, both)]
    assert sorted([*gone, *kept]) == [entry["rule"]["handle"] for entry in both if "rule" in entry]
    assert nftables.removal(NOTHING, []) == []
