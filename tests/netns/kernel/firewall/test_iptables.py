"""Claims about kernel.firewall.iptables with the real iptables.

- the policy of FORWARD is read, for both families, and asking changes nothing
- flannel's chains are made literally (docs/reference/flannel.md 6.1), in one change, once; order and doubles are repaired as the rest
- in a chain shared by networks only the rules about ours are put right, at its end, and removed; the chain goes with the last of anybody's
- a chain that must be first is, whatever was there, and is again after another came before it
- rules given as words are carried out wholly or not at all, and listed as the same words
- interfaces' names of every character the kernel takes, and comments, are listed as they were written and deleted so
- a snapshot has every table as its listing, with one program started; one that does not exist yet is listed all the same
- rules of others are kept; removal leaves no trace and may be repeated
"""

import os
from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kernel import netns
from kernel.errors import KernelError
from kernel.firewall import iptables
from kernel.firewall.iptables import Chain
from tests.netns.programs import counted_programs
from tests.netns.spaces import Space

NETWORKS = {4: "10.42.0.0/16", 6: "fd42::/48"}
EMPTY = ["-P INPUT ACCEPT", "-P FORWARD ACCEPT", "-P OUTPUT ACCEPT"]


def _chain(family: int) -> Chain:
    accepts = tuple((side, NETWORKS[family], "-j", "ACCEPT") for side in ("-s", "-d"))
    return Chain("filter", "FLANNEL-FWD", "FORWARD", "flanneld forward", accepts)


def _shown(space: Space, family: int, table: str = "filter") -> list[str]:
    return space.run(iptables.PROGRAMS[family], "-t", table, "-S").splitlines()


@pytest.fixture(params=[4, 6])
def family(request: pytest.FixtureRequest) -> int:
    version: int = request.param
    return version


def _keep(space: Space, family: int, *kept: Chain, gone: tuple[Chain, ...] = ()) -> tuple[str, ...]:
    """Look and settle, as a daemon does."""
    tables = iptables.saved(family, space.namespace)
    return iptables.settle(family, tables, kept, gone, space.namespace)


def test_the_policy_of_forward_is_read(host: Space, family: int) -> None:
    assert iptables.policy(iptables.saved(family, host.namespace), "filter", "FORWARD") in (None, "ACCEPT")
    host.run(iptables.PROGRAMS[family], "-P", "FORWARD", "DROP")
    assert iptables.policy(iptables.saved(family, host.namespace), "filter", "FORWARD") == "DROP"


def test_looking_changes_nothing(host: Space) -> None:
    iptables.saved(4, host.namespace)
    assert host.run("nft", "list", "ruleset") == ""


def test_flannels_chain_is_made_literally(host: Space, family: int) -> None:
    assert _keep(host, family, _chain(family)) == ("FLANNEL-FWD",)
    comment = '-m comment --comment "flanneld forward"'
    assert _shown(host, family) == [
        *EMPTY,
        "-N FLANNEL-FWD",
        f"-A FORWARD {comment} -j FLANNEL-FWD",
        f"-A FLANNEL-FWD -s {NETWORKS[family]} {comment} -j ACCEPT",
        f"-A FLANNEL-FWD -d {NETWORKS[family]} {comment} -j ACCEPT",
    ]


def test_what_is_right_is_left_alone(host: Space, family: int) -> None:
    assert [_keep(host, family, _chain(family)) for _ in range(2)] == [("FLANNEL-FWD",), ()]


JUMP = ["-A", "FORWARD", "-m", "comment", "--comment", "flanneld forward", "-j", "FLANNEL-FWD"]
DAMAGE = [
    ["-F", "FLANNEL-FWD"],
    ["-F", "FORWARD"],
    ["-D", "FLANNEL-FWD", "1"],
    ["-A", "FLANNEL-FWD", "-j", "DROP"],
    ["-I", "FLANNEL-FWD", "-d", "10.42.0.0/16", "-j", "ACCEPT"],
    JUMP,
    ["-I", "FORWARD", "-s", "192.0.2.0/24", "-j", "FLANNEL-FWD"],
]


@pytest.mark.parametrize(
    "damage", DAMAGE, ids=["emptied", "jump", "rule", "extra", "order", "double jump", "strange jump"]
)
def test_damage_is_repaired(host: Space, damage: list[str]) -> None:
    _keep(host, 4, _chain(4))
    before = _shown(host, 4)
    host.run("iptables", *damage)
    assert _keep(host, 4, _chain(4)) == ("FLANNEL-FWD",)
    assert _shown(host, 4) == before


def test_rules_of_others_are_kept(host: Space) -> None:
    host.run("iptables", "-A", "FORWARD", "-s", "192.0.2.0/24", "-j", "DROP")
    _keep(host, 4, _chain(4))
    _keep(host, 4, gone=(_chain(4),))
    assert _shown(host, 4) == [*EMPTY, "-A FORWARD -s 192.0.2.0/24 -j DROP"]


def _shared(network: str) -> Chain:
    """A chain of two networks: each has the mark, which is everybody's, and two rules in an order."""
    mark = ("-m", "mark", "--mark", "0x4000/0x4000", "-j", "RETURN")
    own = ("-s", network, "-d", network.replace("0.0/16", "1.0/24"), "-j", "RETURN")
    masquerade = ("!", "-s", network, "-d", network, "-j", "MASQUERADE", "--random-fully")
    ours = frozenset([ip_network(network)])
    return Chain("nat", "FLANNEL-POSTRTG", "POSTROUTING", "flanneld masq", (mark, own, masquerade), networks=ours)


RED, BLUE = _shared("10.50.0.0/16"), _shared("10.60.0.0/16")


def _rules(space: Space) -> list[str]:
    return [line for line in _shown(space, 4, "nat") if line.startswith("-A FLANNEL-POSTRTG")]


def test_two_who_share_a_chain_each_append_theirs_and_then_have_peace(host: Space) -> None:
    done = [_keep(host, 4, one) for one in (RED, BLUE, RED, BLUE)]
    assert done == [("FLANNEL-POSTRTG",), ("FLANNEL-POSTRTG",), (), ()]
    assert _rules(host) == [*RED.lines(), *BLUE.lines()[1:]]


SHARED_DAMAGE = [
    ["-F", "FLANNEL-POSTRTG"],
    ["-D", "FLANNEL-POSTRTG", "1"],
    ["-D", "FLANNEL-POSTRTG", "3"],
    ["-I", "FLANNEL-POSTRTG", "1", "-s", "10.50.0.0/16", "-d", "10.50.9.0/24", "-j", "RETURN"],
    ["-F", "POSTROUTING"],
]


@pytest.mark.parametrize("damage", SHARED_DAMAGE, ids=["emptied", "mark", "rule", "another subnet", "jump"])
def test_damage_to_a_shared_chain_is_repaired_by_each_for_itself(host: Space, damage: list[str]) -> None:
    for one in (RED, BLUE):
        _keep(host, 4, one)
    host.run("iptables", "-t", "nat", *damage)
    theirs = [line for line in _rules(host) if BLUE.owns(line)]
    assert _keep(host, 4, RED) == ("FLANNEL-POSTRTG",)
    assert [line for line in _rules(host) if RED.owns(line)] == RED.lines()[1:]
    assert [line for line in _rules(host) if BLUE.owns(line)] == theirs
    _keep(host, 4, BLUE)
    assert [_keep(host, 4, one) for one in (RED, BLUE)] == [(), ()]


def test_who_makes_a_shared_chain_does_not_empty_one_that_another_made_meanwhile(host: Space) -> None:
    before = iptables.saved(4, host.namespace)
    _keep(host, 4, BLUE)
    with pytest.raises(KernelError, match="FLANNEL-POSTRTG"):
        iptables.settle(4, before, [RED], (), host.namespace)
    assert _rules(host) == BLUE.lines()


def test_a_shared_chain_goes_with_the_last(host: Space) -> None:
    for one in (RED, BLUE):
        _keep(host, 4, one)
    assert _keep(host, 4, gone=(RED,)) == ("FLANNEL-POSTRTG",)
    assert [line for line in _rules(host) if "10." in line] == BLUE.lines()[1:]
    assert _keep(host, 4, gone=(RED,)) == ()
    assert _keep(host, 4, gone=(BLUE,)) == ("FLANNEL-POSTRTG",)
    assert "FLANNEL" not in "".join(_shown(host, 4, "nat"))


def test_a_chain_that_must_be_first_stays_first(host: Space) -> None:
    chain = replace(_chain(4), first=True)
    other = ["FORWARD", "-s", "192.0.2.0/24", "-j", "DROP"]
    host.run("iptables", "-A", *other)
    assert [_keep(host, 4, chain) for _ in range(2)] == [("FLANNEL-FWD",), ()]
    host.run("iptables", "-I", *other)
    assert [_keep(host, 4, chain) for _ in range(2)] == [("FLANNEL-FWD",), ()]
    assert [line for line in _shown(host, 4) if line.startswith("-A FORWARD")] == [
        chain.jump(),
        *["-A FORWARD -s 192.0.2.0/24 -j DROP"] * 2,
    ]


def test_chains_of_two_tables_are_one_change(host: Space) -> None:
    rules = (
        ("-m", "mark", "--mark", "0x4000/0x4000", "-j", "RETURN"),
        ("!", "-s", "10.42.0.0/16", "-d", "10.42.0.0/16", "-j", "MASQUERADE", "--random-fully"),
    )
    chain = Chain("nat", "FLANNEL-POSTRTG", "POSTROUTING", "flanneld masq", rules)
    done = [_keep(host, 4, chain, _chain(4)) for _ in range(2)]
    assert done == [("FLANNEL-POSTRTG", "FLANNEL-FWD"), ()]
    assert _shown(host, 4, "nat")[-2:] == chain.lines()


def test_removal_leaves_no_trace_and_may_be_repeated(host: Space, family: int) -> None:
    _keep(host, family, _chain(family))
    assert [_keep(host, family, gone=(_chain(family),)) for _ in range(2)] == [("FLANNEL-FWD",), ()]
    assert _shown(host, family) == EMPTY


def test_removal_takes_a_chain_without_jump(host: Space) -> None:
    host.run("iptables", "-N", "FLANNEL-FWD")
    assert _keep(host, 4, gone=(_chain(4),))
    assert _shown(host, 4) == EMPTY


def test_a_rule_iptables_does_not_know_is_a_kernel_error(host: Space) -> None:
    strange = replace(_chain(4), rules=(("-s", "10.42.0.0/16", "-j", "NO-SUCH-TARGET"),))
    with pytest.raises(KernelError, match="changing iptables chain FLANNEL-FWD"):
        _keep(host, 4, strange)
    assert _shown(host, 4) == EMPTY


def test_this_iptables_is_told_from_the_legacy_one(host: Space) -> None:
    assert iptables.legacy(4) == ("legacy" in host.run("iptables", "--version"))


def test_rules_as_words_are_restored_at_once_and_listed_again(host: Space, family: int) -> None:
    rule = ("-A", "OWN", "-d", NETWORKS[family], "-m", "comment", "--comment", 'name: "a" id: "b"', "-j", "ACCEPT")
    with netns.inside(host.namespace):
        iptables.restore(family, "nat", ["OWN"], [rule, ("-A", "POSTROUTING", "-j", "OWN")])
        listed = iptables.listing(family, "nat")
        iptables.restore(family, "nat", ["OWN"], [("-D", "POSTROUTING", "-j", "OWN"), ("-X", "OWN")])
    assert (rule in listed, ("-N", "OWN") in listed, listed[0]) == (True, True, ("-P", "PREROUTING", "ACCEPT"))
    assert "OWN" not in str(iptables.listing(family, "nat", host.namespace))


def test_a_snapshot_has_every_table_as_its_listing(host: Space, family: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = ("-A", "OWN", "-d", NETWORKS[family], "-m", "comment", "--comment", 'name: "a"', "-j", "ACCEPT")
    for table in ("nat", "raw"):
        iptables.restore(family, table, ["OWN"], [rule, ("-A", "PREROUTING", "-j", "OWN")], host.namespace)
    listed = {table: iptables.listing(family, table, host.namespace) for table in ("nat", "raw")}
    started = counted_programs(monkeypatch)
    snapshot = iptables.Snapshot(family, host.namespace)
    assert {table: snapshot.rules(table) for table in listed} == listed
    assert started == [f"{iptables.PROGRAMS[family]}-save"]
    assert snapshot.rules("filter") == iptables.listing(family, "filter", host.namespace) != []


def test_a_change_that_is_refused_changes_nothing(host: Space, family: int) -> None:
    wrong = [("-A", "OWN", "-j", "ACCEPT"), ("-A", "POSTROUTING", "-j", "NO-SUCH-CHAIN")]
    with pytest.raises(KernelError):
        iptables.restore(family, "nat", ["OWN"], wrong, host.namespace)
    assert ("-N", "OWN") not in iptables.listing(family, "nat", host.namespace)


def test_iptables_is_found_usable_without_a_trace(host: Space, family: int) -> None:
    assert iptables.usable(family, host.namespace)
    assert host.run("nft", "list", "ruleset") == ""


FORBIDDEN = b"\0/:\t\n\v\f\r \xa0"
"""What dev_valid_name of the kernel refuses in an interface's name (net/core/dev.c): 0xa0 is a blank to its isspace."""

NAMES = (
    st.binary(min_size=1, max_size=15)
    .filter(lambda name: not set(name) & set(FORBIDDEN) and not name.endswith(b"+"))
    .map(os.fsdecode)
)
COMMENTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\r"), min_size=1, max_size=60)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=st.lists(st.tuples(NAMES, NAMES, COMMENTS), min_size=1, max_size=8))
@example(written=[("it's", 'a"b', 'it\'s "x" \\'), ('"', '"q"', '"'), ("\\", "-i", "-o"), ("!", "-j", " ")])
def test_names_and_comments_are_listed_as_they_were_written(host: Space, written: list[tuple[str, str, str]]) -> None:
    rules = [
        ("-A", "FORWARD", "-i", inner, "-o", outer, "-m", "comment", "--comment", text, "-j", "ACCEPT")
        for inner, outer, text in written
    ]
    iptables.restore(4, "filter", (), rules, host.namespace)
    assert [rule for rule in iptables.listing(4, "filter", host.namespace) if rule[0] == "-A"] == rules
    assert [rule for rule in iptables.Snapshot(4, host.namespace).rules("filter") if rule[0] == "-A"] == rules
    iptables.restore(4, "filter", (), [("-D", *rule[1:]) for rule in rules], host.namespace)
    assert [rule for rule in iptables.listing(4, "filter", host.namespace) if rule[0] == "-A"] == []
