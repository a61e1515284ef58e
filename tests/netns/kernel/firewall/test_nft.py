"""Claims about kernel.firewall.nft with the real nft.

- a transaction happens wholly or not at all, in the namespace meant
- flannel's masquerade rules can be said (docs/reference/flannel.md 6.2) and are listed as its tests expect
- an absent table lists as empty, in every family and without a program started; deleting it is refused as gone
- a comment stays a comment whatever is in it
- checking changes nothing
- text is carried out wholly or not at all; whether a table exists is told without a program; some objects of it are listed alone
- a table gets a comment, which stays what it is, and what is not plain is refused
"""

from typing import Any

import pytest

from kernel.errors import KernelError
from kernel.firewall import nft
from tests.netns.programs import counted_programs
from tests.netns.spaces import Space

TABLE = {"family": "ip", "table": "flannel-ipv4"}
NETWORK, SUBNET = {"prefix": {"addr": "10.42.0.0", "len": 16}}, {"prefix": {"addr": "10.42.1.0", "len": 24}}
MULTICAST = {"prefix": {"addr": "224.0.0.0", "len": 4}}


def _table(name: str = "t") -> dict[str, Any]:
    return {"add": {"table": {"family": "inet", "name": name}}}


def _where(field: str, right: Any, operator: str = "==") -> dict[str, Any]:
    return {"match": {"op": operator, "left": {"payload": {"protocol": "ip", "field": field}}, "right": right}}


def _rule(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"add": {"rule": {**TABLE, "chain": "postrtg", "expr": list(statements)}}}


def _flannel() -> list[dict[str, Any]]:
    chain = {"name": "postrtg", "type": "nat", "hook": "postrouting", "prio": 100, "policy": "accept"}
    mark = {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 0x4000}}
    masquerade = {"masquerade": {"flags": "fully-random"}}
    return [
        {"add": {"table": {"family": "ip", "name": "flannel-ipv4"}}},
        {"add": {"chain": {**TABLE, **chain}}},
        {"flush": {"chain": {**TABLE, "name": "postrtg"}}},
        _rule(mark, {"return": None}),
        _rule(_where("saddr", SUBNET), _where("daddr", NETWORK), {"return": None}),
        _rule(_where("saddr", NETWORK), _where("daddr", MULTICAST, "!="), masquerade),
    ]


def test_flannels_rules_are_listed_as_its_tests_expect(host: Space) -> None:
    nft.run(_flannel(), host.namespace)
    nft.run(_flannel(), host.namespace)
    shown = [line.strip() for line in host.run("nft", "list", "ruleset").splitlines()]
    assert shown[3:6] == [
        "meta mark 0x00004000 return",
        "ip saddr 10.42.1.0/24 ip daddr 10.42.0.0/16 return",
        "ip saddr 10.42.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random",
    ]


def test_a_listing_has_the_objects_with_handles(host: Space) -> None:
    nft.run(_flannel(), host.namespace)
    objects = nft.listing("ip", "flannel-ipv4", host.namespace)
    assert [next(iter(each)) for each in objects] == ["table", "chain", "rule", "rule", "rule"]
    assert all(each["rule"]["handle"] > 0 for each in objects if "rule" in each)


def test_a_failed_transaction_leaves_nothing(host: Space) -> None:
    with pytest.raises(KernelError, match="changing nftables: ") as refused:
        nft.run([_table(), {"add": {"chain": {"family": "inet", "table": "absent", "name": "c"}}}], host.namespace)
    assert refused.value.gone
    assert host.run("nft", "list", "ruleset") == ""


def test_a_transaction_stays_in_its_namespace(host: Space, container: Space) -> None:
    nft.run([_table()], host.namespace)
    assert nft.listing("inet", "t", host.namespace) != []
    assert nft.listing("inet", "t", container.namespace) == []
    assert nft.listing("inet", "t") == []


@pytest.mark.parametrize("family", nft.FAMILIES)
def test_an_absent_table_lists_as_empty_without_a_program(
    host: Space, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    nft.run(
        [{"add": {"table": {"family": other, "name": "t"}}} for other in nft.FAMILIES if other != family],
        host.namespace,
    )
    started = counted_programs(monkeypatch)
    assert (nft.listing(family, "t", host.namespace), started) == ([], [])
    nft.run([{"add": {"table": {"family": family, "name": "t"}}}], host.namespace)
    assert [next(iter(each)) for each in nft.listing(family, "t", host.namespace)] == ["table"]


def test_deleting_an_absent_table_is_refused_as_gone(host: Space) -> None:
    with pytest.raises(KernelError) as refused:
        nft.run([{"delete": {"table": {"family": "inet", "name": "absent"}}}], host.namespace)
    assert refused.value.gone


def test_creating_an_existing_table_is_refused_as_existing(host: Space) -> None:
    create = {"create": {"table": {"family": "inet", "name": "t"}}}
    nft.run([create], host.namespace)
    with pytest.raises(KernelError) as refused:
        nft.run([create], host.namespace)
    assert refused.value.exists


def test_a_malformed_transaction_is_a_kernel_error(host: Space) -> None:
    with pytest.raises(KernelError, match="changing nftables"):
        nft.run([{"add": {"nonsense": 1}}], host.namespace)


@pytest.mark.parametrize("text", ['a" drop', "a; flush ruleset", "größe", "a\\b", "x" * 128])
def test_a_comment_stays_a_comment(host: Space, text: str) -> None:
    chain = {"add": {"chain": {"family": "inet", "table": "t", "name": "c"}}}
    rule = {"family": "inet", "table": "t", "chain": "c", "comment": text, "expr": [{"accept": None}]}
    nft.run([_table(), chain, {"add": {"rule": rule}}], host.namespace)
    (listed,) = [each["rule"] for each in nft.listing("inet", "t", host.namespace) if "rule" in each]
    assert (listed["comment"], listed["expr"]) == (text, [{"accept": None}])


def test_an_empty_transaction_starts_nothing(host: Space) -> None:
    nft.run([], host.namespace)
    assert host.run("nft", "list", "ruleset") == ""


def test_nft_is_usable_and_asking_changes_nothing(host: Space) -> None:
    assert nft.usable(host.namespace)
    assert host.run("nft", "list", "ruleset") == ""


def test_a_check_tells_without_doing(host: Space) -> None:
    assert nft.accepts([_table()], host.namespace)
    assert not nft.accepts([{"delete": {"table": {"family": "inet", "name": "t"}}}], host.namespace)
    assert host.run("nft", "list", "ruleset") == ""


def test_a_table_gets_its_comment_once(host: Space) -> None:
    for comment in ("first words", "other words"):
        nft.add_table("ip", "t", comment, host.namespace)
    assert 'comment "first words"' in host.run("nft", "list", "table", "ip", "t")


def test_a_comment_that_is_not_plain_is_refused(host: Space) -> None:
    with pytest.raises(KernelError, match="not expressible"):
        nft.add_table("ip", "t", '" ; } ; flush ruleset', host.namespace)


TEXT = """table inet t {
  counter one { packets 3 bytes 30 }
  set last { type ipv4_addr; flags dynamic,timeout; timeout 1h; elements = { 192.0.2.9, 192.0.2.8 } }
  set other { type ipv4_addr; elements = { 192.0.2.1 } }
}
"""


def test_text_is_carried_out_wholly_or_not_at_all(host: Space) -> None:
    nft.load(TEXT, host.namespace)
    with pytest.raises(KernelError):
        nft.load("add table inet u\nadd rule inet u nowhere drop\n", host.namespace)
    assert (nft.exists("inet", "t", host.namespace), nft.exists("inet", "u", host.namespace)) == (True, False)


def test_whether_a_table_exists_is_told_without_a_program(host: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    nft.load(TEXT, host.namespace)
    started = counted_programs(monkeypatch)
    assert [nft.exists("inet", name, host.namespace) for name in ("t", "u")] == [True, False]
    assert started == []


def test_some_objects_are_listed_alone(host: Space) -> None:
    nft.load(TEXT, host.namespace)
    assert nft.counters("inet", "t", host.namespace) == {"one": 3}
    found = nft.elements("inet", "t", "last", host.namespace)
    assert sorted(one["elem"]["val"] for one in found) == ["192.0.2.8", "192.0.2.9"]
