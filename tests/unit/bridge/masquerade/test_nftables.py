"""Claims about bridge.masquerade.nftables.

* An addition replaces what was there for the same attachment and nothing else; to a table that stands it only adds.
* A removal takes the rules of one mark only, and spares the comments it is told to keep.
"""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from bridge.masquerade import nftables as masquerade
from bridge.plan import Masquerade
from cni.attachment_id import AttachmentID, network_mark

OWNER = AttachmentID("unit-test", "one", "eth0")
RULE = Masquerade(ip_address("10.1.0.5"), (ip_network("10.1.0.0/24"),))


def existing(owner: AttachmentID, handle: int) -> dict[str, Any]:
    return {"rule": {"chain": masquerade.RULES, "handle": handle, "comment": owner.comment}}


def test_an_addition_replaces_only_its_own_rules() -> None:
    others = AttachmentID("unit-test", "two", "eth0")
    commands = masquerade.addition(OWNER, [RULE], [existing(OWNER, 7), existing(others, 8)])
    deleted = [command["delete"]["rule"]["handle"] for command in commands if "delete" in command]
    assert deleted == [7]
    assert commands[-1]["add"]["rule"]["comment"] == OWNER.comment


def frame() -> list[dict[str, Any]]:
    """What nft lists of a table that an ADD has made."""
    added = [command["add"] for command in masquerade.addition(OWNER, [], []) if "add" in command]
    return [{kind: dict(value)} for each in added for kind, value in each.items()]


def test_to_a_table_that_stands_only_the_rule_is_added() -> None:
    (command,) = masquerade.addition(OWNER, [RULE], [*frame(), existing(AttachmentID("unit-test", "two", "eth0"), 8)])
    assert command["add"]["rule"]["comment"] == OWNER.comment


@pytest.mark.parametrize("lost", range(1, 6))
def test_a_table_that_lacks_anything_is_mended(lost: int) -> None:
    there = frame()
    del there[lost]
    assert {"flush": {"chain": {"family": "inet", "table": masquerade.TABLE, "name": masquerade.HOOK}}} in (
        masquerade.addition(OWNER, [RULE], there)
    )


def test_a_stranger_in_the_hook_is_mended() -> None:
    stranger = {"rule": {"chain": masquerade.HOOK, "handle": 9, "expr": [{"accept": None}]}}
    assert any("flush" in command for command in masquerade.addition(OWNER, [RULE], [*frame(), stranger]))


def test_several_networks_become_one_set() -> None:
    rule = Masquerade(ip_address("10.1.0.5"), (ip_network("10.1.0.0/24"), ip_network("10.9.0.0/16")))
    inside = masquerade.addition(OWNER, [rule], [])[-1]["add"]["rule"]["expr"][1]["match"]["right"]
    assert inside == {"set": [{"prefix": {"addr": "10.1.0.0", "len": 24}}, {"prefix": {"addr": "10.9.0.0", "len": 16}}]}


def test_a_removal_spares_other_networks_and_what_is_kept() -> None:
    listed = [
        existing(OWNER, 1),
        existing(AttachmentID("unit-test", "two", "eth0"), 2),
        existing(AttachmentID("other", "one", "eth0"), 3),
    ]
    commands = masquerade.removal(listed, network_mark("unit-test"), {OWNER.comment})
    assert [command["delete"]["rule"]["handle"] for command in commands] == [2]
