"""Claims about bridge.spoof_rules (docs/reference/cni.md 2.6).

* Chains, comments and the order of rules are the reference's: one jump to watch a port, one to decide, two verdicts.
* What stands is not declared again.
* No chain's name ends in `*`, which nft would take for a pattern.
* Adding again replaces the attachment's own jump and nothing else.
* A removal finds jumps by comment whatever nft put into the rule, and takes the chains in an order the kernel accepts.
* Orphans are sets whose host end is gone; a set that does not say what it watches is kept.
"""

from typing import Any

import pytest

from bridge import spoof_rules
from cni.attachment_id import AttachmentID

OWNER = AttachmentID("net", "c1", "eth0")
OTHER = AttachmentID("net", "c2", "eth0")
MAC = "02:00:00:00:00:07"
WATCH, VERDICT = "cni-br-iface-c1-eth0", "cni-br-iface-c1-eth0-mac"


def listed(owner: AttachmentID, host_end: str, handle: int) -> list[dict[str, Any]]:
    """What nft would list of one attachment, counters and all."""
    added = [
        next(iter(command["add"].items()))
        for command in spoof_rules.addition(owner, host_end, MAC, ())
        if "add" in command
    ]
    objects = [{kind: dict(value)} for kind, value in added]
    for place, item in enumerate(objects):
        if "rule" in item:
            item["rule"] |= {"handle": handle + place, "expr": [*item["rule"]["expr"], {"counter": {"packets": 1}}]}
    return objects


def rules(commands: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    added = [command["add"]["rule"] for command in commands if "rule" in command.get("add", {})]
    return [(rule["chain"], rule["expr"][-1]) for rule in added]


def test_the_rules_are_the_references() -> None:
    commands = spoof_rules.addition(OWNER, "veth7", MAC, ())
    assert rules(commands) == [
        ("PREROUTING", {"jump": {"target": WATCH}}),
        (WATCH, {"jump": {"target": VERDICT}}),
        (VERDICT, {"return": None}),
        (VERDICT, {"drop": None}),
    ]
    base = commands[1]["add"]["chain"]
    assert (base["family"], base["table"], base["type"], base["hook"], base["prio"], base["policy"]) == (
        *("bridge", "nat", "filter", "prerouting", -300),
        "accept",
    )
    comments = {command["add"]["rule"]["comment"] for command in commands if "rule" in command.get("add", {})}
    assert comments == {"macspoofchk-c1-eth0"}


@pytest.mark.parametrize(
    ("name", "watch"),
    [("c1-a*", "cni-br-iface-c1-a*/"), ("c1-a*b", "cni-br-iface-c1-a*b"), ("c1-*", "cni-br-iface-c1-*/")],
)
def test_no_chain_ends_like_a_pattern(name: str, watch: str) -> None:
    assert spoof_rules.chains(name) == (watch, f"cni-br-iface-{name}-mac")


def test_what_stands_is_not_declared_again() -> None:
    commands = spoof_rules.addition(OWNER, "veth7", MAC, listed(OTHER, "veth2", 30))
    assert [command["add"]["chain"]["name"] for command in commands if "chain" in command.get("add", {})] == [
        *(WATCH, VERDICT),
    ]
    assert not any("flush" in command for command in commands)


def test_adding_again_replaces_only_its_own_jump() -> None:
    existing = [*listed(OWNER, "veth1", 10), *listed(OTHER, "veth2", 30)]
    own = next(item["rule"]["handle"] for item in existing if item.get("rule", {}).get("chain") == "PREROUTING")
    commands = spoof_rules.addition(OWNER, "veth7", MAC, existing)
    assert [command["delete"]["rule"]["handle"] for command in commands if "delete" in command] == [own]
    assert {command["flush"]["chain"]["name"] for command in commands if "flush" in command} == {WATCH, VERDICT}


def test_a_removal_takes_jump_then_watching_chain_then_verdicts() -> None:
    commands = spoof_rules.removal(OWNER, [*listed(OWNER, "veth1", 10), *listed(OTHER, "veth2", 30)])
    deleted = [next(iter(command["delete"].items())) for command in commands if "delete" in command]
    assert [kind for kind, _ in deleted] == ["rule", "chain", "chain"]
    assert [value["name"] for kind, value in deleted if kind == "chain"] == [WATCH, VERDICT]


def test_removing_what_is_not_there_is_nothing() -> None:
    assert spoof_rules.removal(OWNER, listed(OTHER, "veth2", 30)) == []


def test_orphans_are_the_sets_whose_host_end_is_gone() -> None:
    existing = [*listed(OWNER, "veth1", 10), *listed(OTHER, "veth2", 30)]
    commands = spoof_rules.orphans(existing, {"lo", "veth2"})
    assert {command["delete"]["chain"]["name"] for command in commands if "chain" in command.get("delete", {})} == {
        WATCH,
        VERDICT,
    }
    assert spoof_rules.orphans(existing, {"veth1", "veth2"}) == []


def test_a_set_that_does_not_say_what_it_watches_is_kept() -> None:
    mute = {"rule": {"chain": "PREROUTING", "handle": 1, "comment": "macspoofchk-c1-eth0", "expr": []}}
    assert spoof_rules.orphans([mute, {"chain": {"name": WATCH}}], ()) == []


@pytest.mark.parametrize("lost", [None, 0, 1, 2, 3])
def test_a_set_is_complete_with_its_four_rules(lost: int | None) -> None:
    existing = listed(OWNER, "veth1", 10)
    places = [place for place, item in enumerate(existing) if "rule" in item]
    kept = [item for place, item in enumerate(existing) if lost is None or place != places[lost]]
    assert spoof_rules.complete(OWNER, "veth1", kept) is (lost is None)


def test_a_set_that_watches_another_port_is_not_complete() -> None:
    assert not spoof_rules.complete(OWNER, "veth9", listed(OWNER, "veth1", 10))
