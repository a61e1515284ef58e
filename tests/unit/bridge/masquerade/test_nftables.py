"""Claims about bridge.masquerade.nftables.

* Marks and comments are the reference's, so that either program finds what the other added.
* An addition replaces what was there for the same attachment and nothing else.
* A removal takes the rules of one mark only, and spares the comments it is told to keep.
"""

from ipaddress import ip_address, ip_network
from typing import Any

from bridge.masquerade import nftables as masquerade
from bridge.plan import Masquerade, Owner

OWNER = Owner("unit-test", "one", "eth0")
RULE = Masquerade(ip_address("10.1.0.5"), (ip_network("10.1.0.0/24"),))


def existing(owner: Owner, handle: int) -> dict[str, Any]:
    return {"rule": {"chain": masquerade.RULES, "handle": handle, "comment": masquerade.comment(owner)}}


def test_marks_are_the_references() -> None:
    assert masquerade.owner_mark(OWNER) == "6fd94d501e58f0aa-287fc69eff0574a2"


def test_a_comment_names_the_attachment_for_people() -> None:
    assert masquerade.comment(OWNER) == "6fd94d501e58f0aa-287fc69eff0574a2, net: unit-test, if: eth0, id: one"


def test_a_long_comment_keeps_its_mark_and_fits() -> None:
    text = masquerade.comment(Owner("n" * 80, "c" * 64, "eth0"))
    assert len(text.encode()) == masquerade.COMMENT_LIMIT
    assert text.startswith(masquerade.network_mark("n" * 80))


def test_an_addition_replaces_only_its_own_rules() -> None:
    others = Owner("unit-test", "two", "eth0")
    commands = masquerade.addition(OWNER, [RULE], [existing(OWNER, 7), existing(others, 8)])
    deleted = [command["delete"]["rule"]["handle"] for command in commands if "delete" in command]
    assert deleted == [7]
    assert commands[-1]["add"]["rule"]["comment"] == masquerade.comment(OWNER)


def test_several_networks_become_one_set() -> None:
    rule = Masquerade(ip_address("10.1.0.5"), (ip_network("10.1.0.0/24"), ip_network("10.9.0.0/16")))
    inside = masquerade.addition(OWNER, [rule], [])[-1]["add"]["rule"]["expr"][1]["match"]["right"]
    assert inside == {"set": [{"prefix": {"addr": "10.1.0.0", "len": 24}}, {"prefix": {"addr": "10.9.0.0", "len": 16}}]}


def test_a_removal_spares_other_networks_and_what_is_kept() -> None:
    listed = [
        existing(OWNER, 1),
        existing(Owner("unit-test", "two", "eth0"), 2),
        existing(Owner("other", "one", "eth0"), 3),
    ]
    commands = masquerade.removal(listed, masquerade.network_mark("unit-test"), {masquerade.comment(OWNER)})
    assert [command["delete"]["rule"]["handle"] for command in commands] == [2]
