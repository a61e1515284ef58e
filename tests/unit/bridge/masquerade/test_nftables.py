"""Claims about bridge.masquerade.nftables.

* An addition replaces what was there for the same attachment and nothing else.
* A removal takes the rules of one mark only, and spares the comments it is told to keep.
"""

from ipaddress import ip_address, ip_network
from typing import Any

from bridge.masquerade import nftables as masquerade
from bridge.plan import Masquerade
from cni.owner import Owner, network_mark

OWNER = Owner("unit-test", "one", "eth0")
RULE = Masquerade(ip_address("10.1.0.5"), (ip_network("10.1.0.0/24"),))


def existing(owner: Owner, handle: int) -> dict[str, Any]:
    return {"rule": {"chain": masquerade.RULES, "handle": handle, "comment": owner.comment}}


def test_an_addition_replaces_only_its_own_rules() -> None:
    others = Owner("unit-test", "two", "eth0")
    commands = masquerade.addition(OWNER, [RULE], [existing(OWNER, 7), existing(others, 8)])
    deleted = [command["delete"]["rule"]["handle"] for command in commands if "delete" in command]
    assert deleted == [7]
    assert commands[-1]["add"]["rule"]["comment"] == OWNER.comment


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
    commands = masquerade.removal(listed, network_mark("unit-test"), {OWNER.comment})
    assert [command["delete"]["rule"]["handle"] for command in commands] == [2]
