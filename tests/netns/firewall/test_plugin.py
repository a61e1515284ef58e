"""Claims about the verbs of `firewall`, on both backends (docs/reference/cni.md 4.2; 5, firewall).

* ADD hands prevResult on untouched and makes chains, jumps and rules for both families; another ADD changes nothing.
* What others keep in the same chains stays. DEL removes the attachment's rules alone, without prevResult and twice; the
  reference's with it. Networks and interfaces of one container do not take each other's.
* GC removes what the runtime no longer knows, of its own network; without a list nothing.
* STATUS succeeds here. Without a backend in the configuration the verbs agree on one, and ADD starts two programs a
  family: one that lists, one that writes.
"""

from typing import Any

import pytest

from tests.netns.firewall.conftest import Runtime
from tests.netns.programs import counted_programs

ADMIN = '-A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j'


def dump(runtime: Runtime) -> list[Any]:
    return [runtime.legacy(4), runtime.legacy(6), runtime.modern()]


def test_prev_result_is_handed_on(each: Runtime) -> None:
    container = each.container()
    answer = each.add(container)
    assert {key: answer[key] for key in ("ips", "dns", "interfaces")} == {
        key: container.result[key] for key in ("ips", "dns", "interfaces")
    }


@pytest.mark.parametrize("policy", ["open", "same-bridge", "isolated"])
def test_another_add_changes_nothing(each: Runtime, policy: str) -> None:
    container = each.container()
    each.add(container, ingressPolicy=policy)
    before = dump(each)
    each.add(container, ingressPolicy=policy)
    assert dump(each) == before


def test_iptables_shape(runtime: Runtime) -> None:
    container = runtime.container()
    runtime.add(container, backend="iptables", iptablesAdminChainName="MY-ADMIN")
    assert {"-N CNI-FORWARD", "-N MY-ADMIN", f"{ADMIN} MY-ADMIN"} < set(runtime.legacy(6))
    assert runtime.legacy(4)[3] == '-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD'
    to, by = [line for line in runtime.legacy(4) if line.startswith("-A CNI-FORWARD ")][1:]
    assert to.startswith("-A CNI-FORWARD -d 10.1.0.5/32 ")
    assert to.endswith("-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
    assert (by.startswith("-A CNI-FORWARD -s 10.1.0.5/32 "), by.endswith(" -j ACCEPT")) == (True, True)


def test_nftables_shape(runtime: Runtime) -> None:
    runtime.add(runtime.container(), backend="nftables")
    chains = {item["chain"]["name"] for item in runtime.modern() if "chain" in item}
    text = runtime.text()
    assert chains == {"CNI-ADMIN", "containers", "forward"}
    assert text.index("jump CNI-ADMIN") < text.index("ip daddr 10.1.0.5 ct state established,related accept")
    assert "ip6 saddr fd00:1::5 accept" in text


def test_an_add_lists_once_and_writes_once_a_family(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    container = runtime.container()
    started = counted_programs(monkeypatch)
    runtime.add(container)
    assert sorted(started) == ["ip6tables", "ip6tables-restore", "iptables", "iptables-restore"]


def test_others_rules_stay(runtime: Runtime) -> None:
    runtime.host.run("iptables", "-A", "FORWARD", "-s", "192.0.2.9", "-j", "DROP")
    container = runtime.container()
    runtime.add(container, backend="iptables")
    runtime.host.run("iptables", "-A", "CNI-FORWARD", "-s", "10.1.0.5/32", "-p", "tcp", "-j", "ACCEPT")
    runtime.call("DEL", container, backend="iptables")
    assert "-A FORWARD -s 192.0.2.9/32 -j DROP" in runtime.legacy()
    assert "-A CNI-FORWARD -s 10.1.0.5/32 -p tcp -j ACCEPT" in runtime.legacy()


@pytest.mark.parametrize("known", [True, False], ids=["prevResult", "bare"])
def test_del_removes_the_rules_and_nothing_of_another(each: Runtime, known: bool) -> None:
    container, other = each.container(5), each.container(6)
    each.add(other)
    before = dump(each)
    each.add(container)
    keys: dict[str, Any] = {} if known else {"prevResult": None}
    assert [each.call("DEL", container, **keys) for _ in range(2)] == [{}, {}]
    assert dump(each) == before


def test_networks_and_interfaces_keep_apart(each: Runtime) -> None:
    container = each.container()
    each.add(container)
    kept = each.left()
    each.add(container, name="other")
    each.add(container, ifname="eth1")
    each.call("DEL", container, name="other")
    each.call("DEL", container, ifname="eth1")
    assert each.left() == kept


def test_rules_of_the_reference_are_removed(runtime: Runtime) -> None:
    container = runtime.container()
    runtime.add(container, backend="iptables")
    answers = ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED")
    runtime.host.run("iptables", "-A", "CNI-FORWARD", "-d", "10.1.0.5/32", *answers, "-j", "ACCEPT")
    runtime.host.run("iptables", "-A", "CNI-FORWARD", "-s", "10.1.0.5/32", "-j", "ACCEPT")
    assert runtime.call("DEL", container) == {}
    assert runtime.left() == []


def test_an_address_that_changed_leaves_no_rule(each: Runtime) -> None:
    container = each.container()
    each.add(container)
    changed = {**container.result, "ips": [{"address": "10.1.0.77/24", "interface": 2}]}
    each.add(container, prevResult=changed)
    answer = each.call("CHECK", container, prevResult=changed)
    assert (answer, "10.1.0.5" in str(each.legacy(4)) + str(each.modern())) == ({}, False)


def test_gc_removes_what_is_not_known(each: Runtime) -> None:
    known, lost, foreign = each.container(5), each.container(6), each.container(7)
    each.add(known)
    kept = dump(each)
    each.add(foreign, name="other")
    each.add(lost)
    before = dump(each)
    assert (each.call("GC", cniVersion="1.1.0"), dump(each)) == ({}, before)
    valid: dict[str, Any] = {"cni.dev/valid-attachments": [{"containerID": "c5", "ifname": "eth0"}]}
    assert each.call("GC", cniVersion="1.1.0", **valid) == {}
    assert each.call("DEL", foreign, name="other") == {}
    assert dump(each) == kept


def test_status_succeeds_here(each: Runtime) -> None:
    before = dump(each)
    assert (each.call("STATUS", cniVersion="1.1.0"), dump(each)) == ({}, before)


def test_without_a_backend_the_verbs_agree(runtime: Runtime) -> None:
    container = runtime.container()
    runtime.add(container)
    assert runtime.call("CHECK", container) == {}
    assert runtime.call("DEL", container) == {}
    assert runtime.left() == []


def test_a_policy_needs_a_bridge(each: Runtime) -> None:
    container = each.container()
    answer = each.call("ADD", container, ingressPolicy="isolated", prevResult={**container.result, "interfaces": []})
    assert (answer["code"], answer["msg"]) == (
        7,
        "ingressPolicy isolated needs a bridge, and prevResult does not begin with one",
    )
    assert each.left() == []
