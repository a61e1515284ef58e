"""Claims: the rules are flannel's in order; only what is asked for is there; of several networks everything that spares comes
before anything that translates, and one that wants its ports in order has them so for all; what keeps its source does so in either
tool's plan, within the network and what is excluded, but not within the host.
"""

from dataclasses import replace
from ipaddress import ip_network

import pytest

from overlay.firewall import rules
from overlay.firewall.rules import AddressMatch, NetworkRules, Rule, RuleSet

RULES = NetworkRules(ip_network("10.42.0.0/16"), ip_network("10.42.1.0/24"), masquerade=True, forward=True)
OTHER = NetworkRules(ip_network("10.43.0.0/16"), ip_network("10.43.7.0/24"), masquerade=True, forward=True)
N, P = AddressMatch(RULES.network), AddressMatch(RULES.subnet)
OUTSIDE = AddressMatch(RULES.network, inside=False)


def test_the_rules_are_flannels_in_order() -> None:
    assert rules.plan(4, [RULES]) == RuleSet(
        4,
        masquerade=(
            Rule("return", marked=True),
            Rule("return", P, N),
            Rule("return", N, P),
            Rule("return", OUTSIDE, P),
            Rule("masquerade", N, AddressMatch(ip_network("224.0.0.0/4"), inside=False)),
            Rule("masquerade", OUTSIDE, N),
        ),
        forward=(Rule("accept", source=N), Rule("accept", target=N)),
        networks=frozenset([N.network]),
    )


@pytest.mark.parametrize(
    ("masquerade", "forward", "numbers"),
    [(True, True, (6, 2)), (True, False, (6, 0)), (False, True, (0, 2)), (False, False, (0, 0))],
)
def test_only_what_is_asked_for_is_there(masquerade: bool, forward: bool, numbers: tuple[int, int]) -> None:
    plan = rules.plan(4, [NetworkRules(RULES.network, RULES.subnet, masquerade, forward)])
    assert (len(plan.masquerade), len(plan.forward)) == numbers
    assert plan.empty == (numbers == (0, 0))


def test_excluded_networks_are_spared_before_anything_is_translated() -> None:
    plan = rules.plan(4, [replace(RULES, excluded=(ip_network("192.168.0.0/16"),))])
    assert plan.masquerade[4] == Rule("return", N, AddressMatch(ip_network("192.168.0.0/16")))


def test_of_several_networks_all_that_spares_comes_first() -> None:
    plan = rules.plan(4, [RULES, OTHER])
    assert [rule.verdict for rule in plan.masquerade] == ["return"] * 7 + ["masquerade"] * 4
    assert len([rule for rule in plan.masquerade if rule.marked]) == 1


def test_one_that_wants_its_ports_in_order_has_them_so_for_all() -> None:
    assert not rules.plan(4, [RULES, replace(OTHER, fully_random=False)]).fully_random


@pytest.mark.parametrize("masquerade", [True, False])
def test_what_leaves_for_the_network_is_let_out_first_and_a_hairpin_is_not(masquerade: bool) -> None:
    elsewhere = ip_network("192.168.0.0/16")
    kept = replace(RULES, masquerade=masquerade, keep_source=True, excluded=(elsewhere,))
    assert rules.plan(4, [kept]).first == (
        Rule("return", P, P),
        Rule("accept", P, N),
        Rule("accept", P, AddressMatch(elsewhere)),
    )
    assert rules.plan(4, [RULES]).first == ()
