"""Claims about bridge.masquerade.iptables (docs/reference/cni.md 2.5).

* Chain name, comment, rules and their order are the reference's.
* Every rule is added only if it is absent; accepts stand before the masquerade whatever was there.
* A removal finds all jumps to the chain, the historic form too, or only those from given addresses.
* Strangers are chains of the network whose comment gives them their name; nobody else's are touched.
"""

from ipaddress import ip_address, ip_network

from bridge.masquerade import iptables
from bridge.masquerade.iptables import Change
from bridge.plan import Masquerade
from cni.attachment_id import AttachmentID

OWNER = AttachmentID("test", "1234", "eth0")
CHAIN = "CNI-2bbe0c48b91a7d1b8a6753a8"
REMARK = ("-m", "comment", "--comment", 'name: "test" id: "1234"')
FOUR = Masquerade(ip_address("10.1.0.5"), (ip_network("10.1.0.0/24"),))
SECOND = Masquerade(ip_address("10.2.0.5"), (ip_network("10.2.0.0/24"),))
SIX = Masquerade(ip_address("fd00::5"), (ip_network("fd00::/64"),))
JUMP = ("-A", "POSTROUTING", "-s", "10.1.0.5/32", *REMARK, "-j", CHAIN)


def listing(*changes: Change) -> list[iptables.Rule]:
    """What iptables would list after `changes` on an empty table."""
    chains = [("-N", name) for change in changes for name in change.chains]
    return [("-P", "POSTROUTING", "ACCEPT"), *chains, *(rule for change in changes for rule in change.rules)]


def test_the_chain_is_the_references_vector() -> None:
    assert iptables.chain_name("test", "1234") == CHAIN


def test_the_rules_are_the_references() -> None:
    assert iptables.addition(OWNER, [FOUR], []) == Change(
        (CHAIN,),
        (
            ("-A", CHAIN, "-d", "10.1.0.0/24", *REMARK, "-j", "ACCEPT"),
            ("-A", CHAIN, "!", "-d", "224.0.0.0/4", *REMARK, "-j", "MASQUERADE"),
            JUMP,
        ),
    )


def test_ipv6_multicast_is_spared_in_its_own_words() -> None:
    rules = iptables.addition(OWNER, [SIX], []).rules
    assert rules[1][:5] == ("-A", CHAIN, "!", "-d", "ff00::/8")
    assert rules[2][3] == "fd00::5/128"


def test_the_first_addition_makes_the_chain_or_is_refused() -> None:
    change, looked = iptables.first(OWNER, [FOUR]), iptables.addition(OWNER, [FOUR], [])
    assert (change.chains, change.rules) == ((), (("-N", *looked.chains), *looked.rules))


def test_what_stands_is_not_added_again() -> None:
    there = listing(iptables.addition(OWNER, [FOUR], []))
    assert iptables.addition(OWNER, [FOUR], there) == Change()
    assert iptables.complete(OWNER, [FOUR], there)
    assert not iptables.complete(OWNER, [FOUR, SECOND], there)


def test_accepts_stand_before_the_masquerade_of_a_second_address() -> None:
    there = listing(iptables.addition(OWNER, [FOUR], []))
    change = iptables.addition(OWNER, [SECOND], there)
    assert [rule[-1] for rule in change.rules if rule[1] == CHAIN] == ["ACCEPT", "ACCEPT", "MASQUERADE"]
    assert [rule[3] for rule in change.rules if rule[1] == "POSTROUTING"] == ["10.2.0.5/32"]


def test_a_removal_without_addresses_takes_every_jump_and_the_chain() -> None:
    historic = ("-A", "POSTROUTING", "-s", "10.1.0.0/24", *REMARK, "-j", CHAIN)
    there = [*listing(iptables.addition(OWNER, [FOUR], [])), historic]
    assert iptables.removal(OWNER, there, None) == Change(
        (CHAIN,), (("-D", *JUMP[1:]), ("-D", *historic[1:]), ("-X", CHAIN))
    )


def test_a_removal_of_one_address_keeps_the_chain_for_the_others() -> None:
    there = listing(iptables.addition(OWNER, [FOUR, SECOND], []))
    assert iptables.removal(OWNER, there, {FOUR.address}) == Change((), (("-D", *JUMP[1:]),))
    assert iptables.removal(OWNER, there, {FOUR.address, SECOND.address}).rules[-1] == ("-X", CHAIN)


def test_removing_what_is_not_there_is_nothing() -> None:
    assert iptables.removal(OWNER, listing(), None) == Change()


def test_strangers_go_and_the_known_stay() -> None:
    others = AttachmentID("test", "5678", "eth0")
    there = listing(iptables.addition(OWNER, [FOUR], []), iptables.addition(others, [SECOND], []))
    change = iptables.strangers("test", [others], there)
    assert change.chains == (CHAIN,)
    assert change.rules == (("-D", *JUMP[1:]), ("-X", CHAIN))


def test_an_unreferenced_chain_is_a_stranger_too() -> None:
    there = [rule for rule in listing(iptables.addition(OWNER, [FOUR], [])) if rule[1] != "POSTROUTING"]
    assert iptables.strangers("test", [], there).rules == (("-X", CHAIN),)


def test_chains_of_other_networks_and_programs_are_nobodys_strangers() -> None:
    foreign = ("-A", "POSTROUTING", "-m", "comment", "--comment", 'name: "test" id: "9"', "-j", "CNI-DN-0123456789")
    there = [*listing(iptables.addition(AttachmentID("other", "1234", "eth0"), [FOUR], [])), foreign]
    assert iptables.strangers("test", [], there) == Change()


def test_a_container_is_present_by_its_chain() -> None:
    assert iptables.present(OWNER, (("-N", CHAIN),))
    assert not iptables.present(OWNER, listing())
