"""Claims about the verbs of `portmap` (docs/reference/cni.md 4.1, 1.11).

* prevResult is handed on untouched, with what nobody knows; without mappings nothing is touched.
* DEL finishes with and without prevResult, namespace and mappings, twice, for what was never or half added, of any configuration.
* DEL removes what the reference made; it leaves other containers' rules alone.
* GC removes the rules of attachments that are not listed, of this network only; without a list none.
* STATUS says what is missing; it leaves nothing behind.
* Keys are read in any case.
"""

from typing import Any

import pytest

from cni.attachment_id import AttachmentID
from kernel.firewall import iptables, nft
from meta.portmap.state import Memories
from tests.netns.portmap.conftest import Runtime, tcp, udp

Keys = dict[str, Any]


def test_prev_result_is_handed_on_untouched(each: Runtime) -> None:
    container = each.container()
    assert each.add(container, tcp(8080)) == container.result


def test_without_mappings_nothing_is_touched(each: Runtime) -> None:
    container = each.container()
    before = each.host.run("nft", "list", "ruleset")
    assert each.add(container) == container.result
    assert (each.left(), each.host.run("nft", "list", "ruleset")) == ([], before)
    assert each.call("DEL", container) == {}


def test_without_an_address_nothing_is_published(each: Runtime) -> None:
    container = each.container()
    each.add(container, tcp(8080), prevResult={"cniVersion": "1.0.0"})
    assert each.left() == []


def test_without_prev_result_add_is_refused(each: Runtime) -> None:
    answer = each.call("ADD", each.container(), tcp(8080), prevResult=None)
    assert (answer["code"], answer["msg"]) == (7, "must be called as chained plugin")


def test_keys_are_read_in_any_case(each: Runtime) -> None:
    mapping = {"HostPort": 8080, "ContainerPort": 80, "Protocol": "TCP", "HostIP": ""}
    container = each.container()
    each.add(container, runtimeConfig=None, RuntimeConfig={"PortMappings": [mapping]})
    assert each.left() != []
    assert each.call("DEL", container, RuntimeConfig={"PortMappings": [mapping]}) == {}
    assert each.left() == []


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"prevResult": None},
        {"prevResult": "nonsense"},
        {"runtimeConfig": None, "prevResult": None},
        {"backend": "carrier pigeon"},
        {"conditionsV4": ["!", "-s", "10.0.0.1"], "conditionsV6": ["ip6 saddr ::1"]},
    ],
    ids=["as added", "no prevResult", "bad prevResult", "no mappings", "bad backend", "bad conditions"],
)
def test_del_finishes_and_leaves_nothing(each: Runtime, keys: Keys) -> None:
    container, other = each.container(5), each.container(6)
    each.add(other, tcp(8081))
    kept = each.left()
    each.add(container, tcp(8080), udp(53))
    mappings = () if "runtimeConfig" in keys else (tcp(8080), udp(53))
    assert [each.call("DEL", container, *mappings, **keys) for _ in range(2)] == [{}, {}]
    assert each.left() == kept


def test_del_of_what_was_never_added_succeeds(each: Runtime) -> None:
    assert each.call("DEL", None, tcp(8080)) == {}


def test_del_of_a_half_done_add_leaves_nothing(each: Runtime) -> None:
    container = each.container()
    each.add(container, tcp(8080))
    each.host.run("ip6tables", "-t", "nat", "-F")
    if each.config["backend"] == "nftables":
        each.host.run("nft", "flush", "chain", "ip", "cni_hostport", "masquerading")
    assert each.call("DEL", container, tcp(8080)) == {}
    assert [line for line in each.containers_nat() if line.startswith("-A")] + each.comments() == []


def test_del_without_a_memory_looks_in_both_backends(each: Runtime) -> None:
    container = each.container()
    each.add(container, tcp(8080))
    Memories(each.config["dataDir"], print).forget(AttachmentID("net", "c1", "eth0"))
    assert each.call("DEL", None, tcp(8080), backend=None) == {}
    assert each.left() == []


def test_del_needs_neither_program(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iptables, "PROGRAMS", {4: "no-such-iptables", 6: "no-such-ip6tables"})
    monkeypatch.setattr("kernel.spawn.find", lambda *_: None)
    assert runtime.call("DEL", None, tcp(8080)) == {}


def test_del_removes_what_the_reference_made(runtime: Runtime) -> None:
    table = {"family": "ip", "table": "cni_hostport"}
    port = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 8080}}
    rules = [
        {"expr": [port, {"dnat": {"addr": address, "port": 80}}], "comment": "c1"}
        for address in ("10.1.0.5", "10.7.0.5")
    ]
    adding = [{"add": {"rule": {**table, "chain": "hostports", **rule}}} for rule in rules]
    chain = [
        {"add": {"table": {"family": "ip", "name": "cni_hostport"}}},
        {"add": {"chain": {**table, "name": "hostports"}}},
    ]
    nft.run([*chain, *adding], runtime.host.namespace)
    historic = "CNI-SN-623e1c388032b20529218"
    old = [("-N", "CNI-HOSTPORT-SNAT"), ("-N", historic), ("-A", "CNI-HOSTPORT-SNAT", "-j", historic)]
    iptables.restore(4, "nat", (), old, runtime.host.namespace)
    assert runtime.call("DEL", runtime.container(5), tcp(8080)) == {}
    assert len(runtime.comments()) == 1  # the other network's: another address
    assert runtime.call("DEL", None, tcp(8080)) == {}
    assert runtime.comments() == []
    assert not any(historic in line for line in runtime.nat())


@pytest.mark.parametrize("valid", [[{"containerID": "c1", "ifname": "eth0"}], [], None])
def test_gc_removes_what_is_not_listed_and_nothing_without_a_list(each: Runtime, valid: Any) -> None:
    for number, name in ((5, "net"), (6, "net"), (7, "other")):
        each.add(each.container(number), tcp(8000 + number), name=name)
    before = len(each.left())
    listed: Keys = {"cniVersion": "1.1.0", "cni.dev/valid-attachments": valid}
    assert each.call("GC", None, prevResult=None, **listed) == {}
    names = {"c1": 5, "c3": 7} if valid else {"c3": 7}
    ruleset = "".join(each.nat()) + each.host.run("nft", "list", "ruleset")
    assert {name for name, number in (("c1", 5), ("c2", 6), ("c3", 7)) if str(8000 + number) in ruleset} == set(names)
    after = len(each.left())
    assert each.call("GC", None, cniVersion="1.1.0") == {}
    assert (len(each.left()), after < before) == (after, True)


def test_status_leaves_nothing_and_says_what_is_missing(each: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    assert each.call("STATUS", None, cniVersion="1.1.0") == {}
    assert each.left() == []
    monkeypatch.setattr("kernel.spawn.find", lambda *_: None)
    answer = each.call("STATUS", None, cniVersion="1.1.0")
    assert (answer["code"], each.config["backend"] in answer["msg"]) == (50, True)
