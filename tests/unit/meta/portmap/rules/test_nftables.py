"""Claims about meta.portmap.rules.nftables (docs/reference/cni.md 4.1, "nftables shape").

* No rule translates before it was asked whether the packet is for this host (CVE-2025-67499).
* What is published is read back, also what the reference made; what stands is not made again.
* A condition that speaks of another protocol leaves the mapping out, which it could never match.
"""

from ipaddress import ip_address, ip_interface
from typing import Any

from cni.attachment_id import AttachmentID
from meta.portmap.config import PortMapping
from meta.portmap.plan import Publication, Side
from meta.portmap.rules import nftables as words

OWNER = AttachmentID("net", "c1", "eth0")
SIDE = Side(ip_interface("10.1.0.5/24"))


def plan(*mappings: PortMapping, owner: AttachmentID = OWNER) -> Publication:
    return Publication(owner, (SIDE,), mappings or (PortMapping("tcp", 8080, 80),))


def standing(*plans: Publication) -> list[dict[str, Any]]:
    """What a listing shows once these are there."""
    objects: list[dict[str, Any]] = []
    for each in plans:
        objects += [{**command["add"]} for command in words.addition(each, SIDE, objects)]
        objects = [
            {"rule": {**item["rule"], "handle": at}} if "rule" in item else item for at, item in enumerate(objects)
        ]
    return objects


def test_every_hook_asks_first_whether_the_packet_is_for_this_host() -> None:
    hooks = [item["rule"] for item in standing(plan()) if item.get("rule", {}).get("chain") in ("prerouting", "output")]
    assert len(hooks) == 2
    assert all("fib" in rule["expr"][0]["match"]["left"] for rule in hooks)


def test_a_second_container_is_pure_addition_of_its_own_rules() -> None:
    second = plan(PortMapping("tcp", 81, 80), owner=AttachmentID("net", "c2", "eth0"))
    commands = words.addition(second, SIDE, standing(plan()))
    assert [set(command) for command in commands] == [{"add"}] * 4
    assert {command["add"]["rule"]["comment"] for command in commands} == {second.owner.comment}


def test_what_is_published_is_read_back() -> None:
    reference = {"rule": {"chain": "hostports", "handle": 99, "comment": "c9", "expr": [
        {"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 53}},
        {"dnat": {"addr": "10.1.0.9", "port": 53}},
    ]}}  # fmt: skip
    found = list(words.published([*standing(plan(PortMapping("tcp", 80, 8080, ip_address("10.0.0.1")))), reference]))
    assert [(each.protocol, each.port, str(each.host_ip), str(each.target)) for each in found] == [
        ("tcp", 80, "10.0.0.1", "10.1.0.5"),
        ("udp", 53, "None", "10.1.0.9"),
    ]
    assert [(each.holder.name, each.holder.mark) for each in found] == [("net/c1", OWNER.mark), ("container c9", "")]


def test_what_stands_misses_nothing_and_a_version_may_write_a_list_of_one_plainly() -> None:
    objects = standing(plan())
    assert words.missing(plan(), SIDE, objects) == []
    for item in objects:
        if "fib" in str(item):
            item["rule"]["expr"][0]["match"]["left"]["fib"]["flags"] = "daddr"
    assert words.missing(plan(), SIDE, objects) == []
    assert words.addition(plan(owner=AttachmentID("net", "c2", "eth0")), SIDE, objects)[0]["add"].keys() == {"rule"}


def test_a_condition_of_another_protocol_leaves_the_mapping_out() -> None:
    side = Side(SIDE.address, ("tcp sport 1-1023",))
    rules = words.own_rules(plan(PortMapping("tcp", 1, 1), PortMapping("udp", 2, 2)), side)
    assert [words.shown(rule) for rule in rules if rule["add"]["rule"]["chain"] == "hostports"] == [
        "ip cni_hostport hostports: tcp sport 1-1023 tcp dport 1 dnat to 10.1.0.5:1"
    ]


def test_removal_takes_the_owners_rules_and_strangers_one_networks() -> None:
    owners = [OWNER, AttachmentID("net", "c2", "eth0"), AttachmentID("other", "c1", "eth0")]
    objects = standing(*(plan(owner=owner) for owner in owners))
    assert len(words.removal(OWNER, 4, objects, None)) == 4
    assert len(words.strangers("net", owners[:1], 4, objects)) == 4
    assert words.strangers("net", owners[:2], 4, objects) == []
