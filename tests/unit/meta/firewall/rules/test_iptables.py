"""Claims about the words of iptables (docs/reference/cni.md 4.2).

* What was added is not missing and not added again; commits of ADD delete nothing that is not the attachment's own.
* Policies stand in front of the containers' chain, the exception in front of every policy, whatever stood there before.
* DEL takes the attachment's rules and, of the reference's, those for its addresses; GC those of its network alone.
* What says whose an address is, and whose rules are gone, goes with the next ADD.
"""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from cni.attachment_id import AttachmentID
from meta.firewall.plan import Passage
from meta.firewall.rules import iptables as rules
from meta.firewall.rules.iptables import Rule

ADDRESS = ip_address("10.1.0.5")


def passage(container_id: str = "c1", policy: str = "open", network: str = "net", bridge: str = "br0") -> Passage:
    owner = AttachmentID(network, container_id, "eth0")
    return Passage(owner, (ADDRESS,), "CNI-ADMIN", policy, "" if policy == "open" else bridge)


def after(commands: list[Rule], table: list[Rule] | None = None) -> list[Rule]:
    """Return the table as iptables would list it: chains, then rules in their order."""
    listed = list(table or [("-P", "FORWARD", "ACCEPT")])
    for word, chain, *rest in commands:
        mine = [rule for rule in listed if rule[:2] == ("-A", chain)]
        if word == "-D":
            listed.remove(("-A", chain, *rest))
        elif word == "-I" and int(rest[0]) <= len(mine):
            listed.insert(listed.index(mine[int(rest[0]) - 1]), ("-A", chain, *rest[1:]))
        else:
            assert word != "-I" or int(rest[0]) == len(mine) + 1
            listed.append((word.replace("I", "A"), chain, *(rest[1:] if word == "-I" else rest)))
    return listed


def targets(table: list[Rule], chain: str) -> list[str]:
    return [rule[-1] for rule in table if rule[:2] == ("-A", chain)]


@pytest.mark.parametrize("policy", ["open", "same-bridge", "isolated"])
def test_what_was_added_is_neither_missing_nor_added_again(policy: str) -> None:
    plan = passage(policy=policy)
    table = after(rules.addition(plan, 4, ()))
    assert (rules.missing(plan, 4, table), rules.addition(plan, 4, table)) == ([], [])


@pytest.mark.parametrize("first", ["open", "same-bridge", "isolated"])
@pytest.mark.parametrize("second", ["open", "same-bridge", "isolated"])
def test_order_does_not_depend_on_who_came_first(first: str, second: str) -> None:
    table = after(rules.addition(passage(policy=first), 4, ()))
    table = after(rules.addition(passage("c2", second, bridge="br1"), 4, table), table)
    hooks, stage = targets(table, "FORWARD"), targets(table, rules.FIRST)
    assert hooks == ([rules.FIRST] if {first, second} != {"open"} else []) + [rules.OWN]
    assert (stage[:1], stage[-1:]) == (["RETURN"], ["RETURN"]) or not stage
    assert targets(table, rules.OWN)[0] == "CNI-ADMIN"


def test_a_lost_jump_comes_back_behind_the_policies() -> None:
    plan = passage(policy="isolated")
    table = [rule for rule in after(rules.addition(plan, 4, ())) if rule[-1] != rules.OWN or rule[0] == "-N"]
    assert targets(after(rules.addition(plan, 4, table), table), "FORWARD") == [rules.FIRST, rules.OWN]


def test_the_same_address_of_another_attachment_is_untouched() -> None:
    table = after(rules.addition(passage(), 4, ()))
    both = after(rules.addition(passage("c2"), 4, table), table)
    assert after(rules.removal(AttachmentID("net", "c2", "eth0"), 4, (ADDRESS,), both), both) == table


def test_bare_rules_of_the_reference_go_with_their_address() -> None:
    bare = ("-A", rules.OWN, "-s", "10.1.0.5/32", "-j", "ACCEPT")
    other = ("-A", rules.OWN, "-s", "10.1.0.6/32", "-j", "ACCEPT")
    assert rules.removal(passage().owner, 4, (ADDRESS,), [bare, other]) == [("-D", *bare[1:])]
    assert rules.removal(passage().owner, 4, (), [bare, other]) == []


def test_strangers_are_of_the_network_alone() -> None:
    table: list[Rule] = []
    addresses = [ip_address(f"10.1.0.{last}") for last in (5, 6, 7)]
    plans = [passage(), passage("c2"), passage("c3", network="other")]
    for plan, address in zip(plans, addresses, strict=True):
        table = after(rules.addition(replace(plan, addresses=(address,)), 4, table), table)
    gone = rules.strangers("net", [AttachmentID("net", "c1", "eth0")], table)
    assert len(gone) == 3
    assert all("10.1.0.6/32" in rule for rule in gone)


def test_an_address_that_another_attachment_has_too_stays_let_through() -> None:
    table = after(rules.addition(passage(), 4, ()))
    both = after(rules.addition(passage("c2"), 4, table), table)
    (gone,) = rules.strangers("net", [AttachmentID("net", "c1", "eth0")], both)
    assert gone[1] == rules.OWNERS


def test_an_owner_whose_rules_the_reference_took_is_forgotten_by_the_next_add() -> None:
    table = [
        rule for rule in after(rules.addition(passage(), 4, ())) if rule[1] != rules.OWN or rule[-1] == "CNI-ADMIN"
    ]
    for plan in (passage("c2"), passage()):
        table = after(rules.addition(plan, 4, table), table)
        assert [rule[-1] for rule in table if rule[1] == rules.OWNERS and rule[0] == "-A"] == [plan.owner.comment]
        table = after(rules.removal(plan.owner, 4, (), table), table)
        assert targets(table, rules.OWN) == ["CNI-ADMIN"]


def test_what_an_earlier_version_let_through_is_whole_and_goes() -> None:
    plan = passage()
    table = after(rules.addition(plan, 4, ()))
    earlier = [rule for rule in table if rule[1] != rules.OWNERS and ADDRESS.exploded not in " ".join(rule)]
    remark = ("-m", "comment", "--comment", plan.owner.comment)
    own = [rule for rule in table if rule[1] == rules.OWN and ADDRESS.exploded in " ".join(rule)]
    earlier += [(*rule[:4], *remark, *rule[4:]) for rule in own]
    assert rules.missing(plan, 4, earlier) == []
    assert [rule[0] for rule in rules.removal(plan.owner, 4, (), earlier)] == ["-D", "-D"]
    again = after(rules.addition(plan, 4, earlier), earlier)
    assert sorted(again) == sorted(table)
