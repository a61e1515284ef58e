"""Claims about the words of nftables.

* What was added is not missing and not added again, also where nft lists a set of one as its element or in another order.
* Policies stand in front of the containers' chain, the exception in front of every policy.
* DEL takes the attachment's rules, GC those of its network's strangers.
"""

from ipaddress import ip_address
from typing import Any

import pytest

from cni.attachment_id import AttachmentID
from meta.firewall.plan import Passage
from meta.firewall.rules import nftables as rules

ADDRESSES = (ip_address("10.1.0.5"), ip_address("fd00::5"))


def passage(container_id: str = "c1", policy: str = "open", network: str = "net", bridge: str = "br0") -> Passage:
    owner = AttachmentID(network, container_id, "eth0")
    return Passage(owner, ADDRESSES, "CNI-ADMIN", policy, "" if policy == "open" else bridge)


def after(commands: list[dict[str, Any]], table: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """Return the table as nft would list it."""
    listed = list(table or [])
    for command in commands:
        ((verb, item),) = command.items()
        if verb == "delete":
            listed = [each for each in listed if each.get("rule", {}).get("handle") != item["rule"]["handle"]]
            continue
        ((kind, value),) = item.items()
        listed.insert(0 if verb == "insert" else len(listed), {kind: {**value, "handle": f"{len(listed)} {command}"}})
    return listed


def words(table: list[dict[str, Any]], chain: str) -> list[str]:
    return [
        rules.shown({"add": item}).partition(": ")[2] for item in table if item.get("rule", {}).get("chain") == chain
    ]


@pytest.mark.parametrize("policy", ["open", "same-bridge", "isolated"])
def test_what_was_added_is_neither_missing_nor_added_again(policy: str) -> None:
    plan = passage(policy=policy)
    table = after(rules.addition(plan, ()))
    for item in table:
        for statement in item.get("rule", {}).get("expr", ()):
            if statement == rules.ANSWERS:
                statement["match"] = {**statement["match"], "right": ["related", "established"]}
    assert (rules.missing(plan, table), rules.addition(plan, table)) == ([], [])


@pytest.mark.parametrize("first", ["open", "same-bridge", "isolated"])
@pytest.mark.parametrize("second", ["open", "same-bridge", "isolated"])
def test_order_does_not_depend_on_who_came_first(first: str, second: str) -> None:
    table = after(rules.addition(passage(policy=first), ()))
    table = after(rules.addition(passage("c2", second, bridge="br1"), table), table)
    fenced = [f"jump {rules.FIRST}"] if {first, second} != {"open"} else []
    assert words(table, rules.HOOK) == [*fenced, f"jump {rules.OWN}"]
    assert words(table, rules.FIRST)[:1] == ["ct status dnat return"][: len(fenced)]
    assert words(table, rules.OWN)[0] == "jump CNI-ADMIN"


def test_a_lost_jump_comes_back_behind_the_policies() -> None:
    plan = passage(policy="isolated")
    table = [
        item
        for item in after(rules.addition(plan, ()))
        if item.get("rule", {}).get("expr") != [{"jump": {"target": rules.OWN}}]
    ]
    whole = after(rules.addition(plan, table), table)
    assert words(whole, rules.HOOK) == [f"jump {rules.FIRST}", f"jump {rules.OWN}"]


def test_removal_takes_the_attachments_rules_alone() -> None:
    table = after(rules.addition(passage(), ()))
    both = after(rules.addition(passage("c2"), table), table)
    assert after(rules.removal(AttachmentID("net", "c2", "eth0"), both), both) == table


def test_strangers_are_of_the_network_alone() -> None:
    table: list[dict[str, Any]] = []
    for plan in (passage(), passage("c2"), passage("c3", network="other")):
        table = after(rules.addition(plan, table), table)
    gone = rules.strangers("net", [AttachmentID("net", "c1", "eth0")], table)
    left = str(after(gone, table))
    assert (len(gone), "id: c1" in left, "id: c2" in left, "id: c3" in left) == (4, True, False, True)
