"""Claims: flannel's tables and chains, with the mark tested by its mask; any difference in rule, order or number is seen, nft's
additions and comments are none; a table is replaced in one transaction that works whether or not it exists.
"""

import copy
from ipaddress import ip_network
from typing import Any

import pytest

from overlay import firewall, nftables
from overlay.firewall import Plan, Rules

RULES = Rules(ip_network("10.42.0.0/16"), ip_network("10.42.1.0/24"), masquerade=True, forward=True)
RULES6 = Rules(ip_network("fd00:42::/48"), ip_network("fd00:42:0:1::/64"), masquerade=True, forward=True)
PLAN, PLAN6 = firewall.plan(4, [RULES]), firewall.plan(6, [RULES6])


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


def rules_of(plan: Plan) -> list[str]:
    return [words(entry) for entry in nftables.table(plan) if "rule" in entry]


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
    assert [entry["chain"]["name"] for entry in nftables.table(Plan(4)) if "chain" in entry] == ["postrtg", "forward"]


def test_ports_need_not_be_random() -> None:
    plan = firewall.plan(4, [Rules(RULES.network, RULES.subnet, True, False, fully_random=False)])
    assert rules_of(plan)[4].endswith(" masquerade")


def listing(plan: Plan = PLAN) -> list[dict[str, Any]]:
    """What nft would list: our entries with handles, chains in an order of its own, comments lost."""
    entries = [{"table": {"family": "ip", "name": "flannel-ipv4", "handle": 1}}]
    for number, entry in enumerate(reversed(copy.deepcopy(nftables.table(plan)[:2]))):
        entry["chain"].pop("comment")
        entries.append({"chain": {**entry["chain"], "handle": number}})
    return entries + [{"rule": {**entry["rule"], "handle": 9}} for entry in nftables.table(plan)[2:]]


def test_a_listing_of_our_own_table_does_not_differ() -> None:
    assert not nftables.differs(PLAN, listing())


@pytest.mark.parametrize(
    "changed",
    [
        [],
        listing()[:-1],
        [*listing(), listing()[-1]],
        [*listing()[:3], listing()[4], listing()[3], *listing()[5:]],
        listing(firewall.plan(4, [Rules(RULES.network, RULES.network, True, True)])),
        [*listing(), {"chain": {"family": "ip", "table": "flannel-ipv4", "name": "stranger"}}],
        [{"chain": {**entry["chain"], "policy": "drop"}} if "chain" in entry else entry for entry in listing()],
    ],
)
def test_every_difference_is_seen(changed: list[dict[str, Any]]) -> None:
    assert nftables.differs(PLAN, changed)


def test_a_table_is_replaced_whether_or_not_it_exists() -> None:
    add, delete, again, *rest = nftables.transaction(PLAN)
    assert [add["add"]["table"]["comment"], delete] == [
        "rules for flannel-ipv4",
        {"delete": {"table": {"family": "ip", "name": "flannel-ipv4"}}},
    ]
    assert (again, [entry["add"] for entry in rest]) == (add, nftables.table(PLAN))
    assert [delete] == nftables.removal(4)
