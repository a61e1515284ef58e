"""Claims about meta.portmap.rules.iptables (docs/reference/cni.md 4.1, "iptables shape").

* Chain names and comments are the reference's; another interface than the first has its own.
* More than fifteen ports take several entry rules, by protocol in alphabetical order.
* What is published is read back, also by the reference's rules; what stands is not added again.
* Deleting takes every jump first; strangers of one network only.
"""

from ipaddress import ip_address, ip_interface

from cni.attachment_id import AttachmentID
from meta.portmap.config import PortMapping
from meta.portmap.plan import Publication, Side
from meta.portmap.rules import iptables as words

SUITE = "icee6giejonei6sohng6ahngee7laquohquee9shiGo7fohferakah3Feiyoolu2pei7ciPhoh7shaoX6vai3vuf0ahfaeng8yohb9ceu0daez5hashee8ooYai5wa3y"
OWNER = AttachmentID("net", "c1", "eth0")
SIDE = Side(ip_interface("10.1.0.5/24"))
SIX = Side(ip_interface("fd00::5/64"))


def plan(*mappings: PortMapping, owner: AttachmentID = OWNER, snat: bool = True) -> Publication:
    return Publication(owner, (SIDE, SIX), mappings or (PortMapping("tcp", 8080, 80),), snat=snat)


def standing(*plans: Publication) -> list[words.Rule]:
    """What a listing shows once these are there."""
    rules: list[words.Rule] = []
    for each in plans:
        rules += [("-A", *rule[1:]) if rule[0] == "-I" else rule for rule in words.addition(each, SIDE, rules)]
    return rules


def test_the_suites_chain_name() -> None:
    assert words.chain_name(AttachmentID("testNetName", SUITE, "eth0")) == "CNI-DN-bfd599665540dd91d5d28"


def test_another_interface_has_its_own_chain_and_says_so() -> None:
    other = AttachmentID("net", "c1", "eth1")
    assert words.chain_name(other) != words.chain_name(OWNER) == words.shared_chain_name(other)
    assert words.comment(OWNER) == 'dnat name: "net" id: "c1"'
    assert words.comment(other) == 'dnat name: "net" id: "c1" if: "eth1"'


def test_a_long_comment_fits_and_names_the_container() -> None:
    text = words.comment(AttachmentID("n" * 255, "c" * 128, "fifteen-letters"))
    assert (len(text) <= 255, f'id: "{"c" * 128}"' in text) == (True, True)


def test_fifteen_ports_make_a_group_and_protocols_are_in_order() -> None:
    many = [PortMapping("udp", 1, 1), *(PortMapping("tcp", port, 80) for port in range(1, 32))]
    entries = words.entry_rules(plan(*many), SIDE)
    assert [(rule[3], rule[rule.index("--dports") + 1].count(",") + 1) for rule in entries] == [
        ("tcp", 15),
        ("tcp", 15),
        ("tcp", 1),
        ("udp", 1),
    ]


def test_an_ipv6_target_stands_in_brackets() -> None:
    assert words.container_rules(plan(snat=False), SIX)[-1][-1] == "[fd00::5]:80"


def test_what_is_published_is_read_back() -> None:
    other = AttachmentID("net", "c1", "eth1")
    rules = standing(
        plan(PortMapping("udp", 53, 5353, ip_address("10.0.0.1"))), plan(PortMapping("tcp", 99, 1), owner=other)
    )
    found = list(words.published(rules))
    assert [(each.protocol, each.port, str(each.host_ip), str(each.target)) for each in found] == [
        ("udp", 53, "10.0.0.1", "10.1.0.5"),
        ("tcp", 99, "None", "10.1.0.5"),
    ]
    assert [(each.holder.name, each.holder.mark) for each in found] == [("net/c1", OWNER.mark), ("net/c1", other.mark)]


def test_shared_chains_are_declared_once_and_then_only_added_to() -> None:
    second = plan(PortMapping("tcp", 81, 80), owner=AttachmentID("net", "c2", "eth0"))
    rules = words.addition(second, SIDE, standing(plan()))
    assert {rule[0] for rule in rules} == {"-N", "-A"}
    assert [rule[1] for rule in rules if rule[0] == "-N"] == [words.chain_name(second.owner)]


def test_what_stands_misses_nothing_and_a_version_may_reorder() -> None:
    rules = standing(plan())
    assert words.missing(plan(), SIDE, rules) == []
    reordered = [
        (rule[0], rule[1], *sorted(rule[2:])) if rule[0] == "-A" and "DNAT" in rule else rule for rule in rules
    ]
    assert words.missing(plan(), SIDE, reordered) == []
    assert len(words.missing(plan(), SIDE, [rule for rule in rules if rule[:2] != ("-A", "PREROUTING")])) == 1


def test_removal_takes_jumps_before_chains_and_nothing_when_nothing_is_there() -> None:
    assert words.removal(OWNER, standing(plan(owner=AttachmentID("net", "c2", "eth0"))), None) == []
    assert [rule[0] for rule in words.removal(OWNER, standing(plan()), None)] == ["-D", "-F", "-X"]


def test_a_chain_of_the_reference_goes_with_another_interface_by_its_address_only() -> None:
    other, rules = AttachmentID("net", "c1", "eth1"), standing(plan())
    assert words.removal(other, rules, [ip_address("10.1.0.99")]) == []
    assert words.removal(other, rules, [ip_address("10.1.0.5")]) != []


def test_strangers_of_one_network_go() -> None:
    owners = [
        AttachmentID("net", "c1", "eth0"),
        AttachmentID("net", "c2", "eth0"),
        AttachmentID("network", "c1", "eth0"),
    ]
    rules = standing(*(plan(owner=owner) for owner in owners))
    gone = [rule[1] for rule in words.strangers("net", owners[:1], rules) if rule[0] == "-X"]
    assert gone == [words.chain_name(owners[1])]
