"""Claims about bridge.masquerade.apply: the masquerade of both backends, in the real kernel (docs/reference/cni.md 2.5).

* Without a choice of the configuration iptables is taken; a first interface costs one program, a second one looks first.
* iptables gets the reference's chain, comments and order; the overlay of a lease is exempt in either backend.
* CHECK sees a missing rule of either backend; DEL, twice and without namespace, cleans both (row 2).
* One of two interfaces of a container keeps its rules when the other goes; GC removes strangers of either backend (row 1).
* Packets really leave under the host's address.
"""

from collections.abc import Callable
from typing import Any

import pytest

from bridge.masquerade import iptables as words
from kernel.firewall import iptables
from tests.netns.bridge.conftest import FOUR, SIX, Runtime, add
from tests.netns.programs import counted_programs
from tests.netns.spaces import Space, cable

CHAIN = words.chain_name("net", "c1")
REMARK = '-m comment --comment "name: \\"net\\" id: \\"c1\\""'
LEGACY: dict[str, Any] = {"ipMasq": True, "ipMasqBackend": "iptables"}


def nat(runtime: Runtime, family: int = 4) -> list[str]:
    """The nat rules that are anybody's, as iptables prints them."""
    lines = runtime.host.run(iptables.PROGRAMS[family], "-t", "nat", "-S").splitlines()
    return [line for line in lines if not line.startswith("-P ")]


def test_iptables_gets_the_references_rules_in_its_order(runtime: Runtime, container: Space) -> None:
    add(runtime, container, **LEGACY)
    assert nat(runtime) == [
        f"-N {CHAIN}",
        f"-A POSTROUTING -s 10.42.7.5/32 {REMARK} -j {CHAIN}",
        f"-A {CHAIN} -d 10.42.7.0/24 {REMARK} -j ACCEPT",
        f"-A {CHAIN} ! -d 224.0.0.0/4 {REMARK} -j MASQUERADE",
    ]
    assert (nat(runtime, 6), runtime.masquerade()) == ([], [])


def test_a_first_interface_starts_one_program_and_a_second_one_looks_first(
    runtime: Runtime, container: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = counted_programs(monkeypatch)
    add(runtime, container, **LEGACY)
    assert _of_iptables(started) == ["iptables-restore"]
    runtime.ipam_answers({"address": "10.42.7.6/24", "gateway": "10.42.7.1"})
    assert "code" not in runtime.call("ADD", container.path, ifname="eth1", **{**LEGACY, "isDefaultGateway": False})
    assert _of_iptables(started)[1:] == ["iptables-restore", "iptables", "iptables-restore"]
    jumps = [line for line in nat(runtime) if line.startswith("-A POSTROUTING")]
    assert [line.split()[3] for line in jumps] == ["10.42.7.5/32", "10.42.7.6/32"]


def _of_iptables(started: list[str]) -> list[str]:
    return [name for name in started if name.startswith("iptables")]


def test_each_family_gets_its_own_rules(runtime: Runtime, container: Space) -> None:
    runtime.ipam_answers(FOUR, SIX)
    add(runtime, container, **LEGACY)
    assert f"-A POSTROUTING -s fd00:42:0:7::5/128 {REMARK} -j {CHAIN}" in nat(runtime, 6)
    assert f"-A {CHAIN} ! -d ff00::/8 {REMARK} -j MASQUERADE" in nat(runtime, 6)


def test_without_a_choice_iptables_is_taken(runtime: Runtime, container: Space) -> None:
    add(runtime, container, ipMasq=True, ipMasqBackend=None)
    assert any("10.42.7.5" in line for line in nat(runtime) if line.startswith("-A POSTROUTING"))
    assert runtime.masquerade() == []


def test_nftables_rules_carry_the_references_comment(runtime: Runtime, container: Space) -> None:
    add(runtime, container, ipMasq=True, ipMasqBackend="nftables")
    (rule,) = runtime.masquerade()
    assert rule["comment"].endswith("net: net, if: eth0, id: c1")
    assert nat(runtime) == []


@pytest.mark.parametrize("keys", [LEGACY, {"ipMasq": True, "ipMasqBackend": "nftables"}], ids=["iptables", "nftables"])
def test_the_overlay_of_a_lease_is_exempt(runtime: Runtime, container: Space, lease: str, keys: dict[str, Any]) -> None:
    add(runtime, container, subnetFile=lease, **keys)
    ruleset = runtime.host.run("nft", "list", "ruleset")
    assert "10.42.0.0/16" in ruleset
    assert "10.42.7.0/24" not in ruleset


@pytest.mark.parametrize("keys", [LEGACY, {"ipMasq": True, "ipMasqBackend": "nftables"}], ids=["iptables", "nftables"])
def test_packets_leave_under_the_hosts_address(
    runtime: Runtime, container: Space, make_space: Callable[[str], Space], keys: dict[str, Any]
) -> None:
    outside = make_space("outside")
    cable(runtime.host, "up0=192.0.2.1/24", outside, "eth0=192.0.2.2/24")
    add(runtime, container, **keys)
    assert "1 received" in container.run("ping", "-c1", "-W2", "192.0.2.2")  # outside has no route back to 10.42.7.0/24


@pytest.mark.parametrize("backend", ["iptables", "nftables", None])
def test_check_sees_missing_rules_of_either_backend(runtime: Runtime, container: Space, backend: str | None) -> None:
    keys: dict[str, Any] = {"ipMasq": True, "ipMasqBackend": backend}
    result = add(runtime, container, **keys)
    assert runtime.call("CHECK", container.path, prevResult=result, **keys) == {}
    runtime.host.run("nft", "flush", "ruleset")
    answer = runtime.call("CHECK", container.path, prevResult=result, **keys)
    assert (answer["code"], "masquerade rules of net/c1/eth0" in answer["msg"]) == (102, True)


def test_check_sees_that_no_packet_comes_to_the_rules(runtime: Runtime, container: Space) -> None:
    result = add(runtime, container, ipMasq=True, ipMasqBackend="nftables")
    runtime.host.run("nft", "flush", "chain", "inet", "cni_plugins_masquerade", "postrouting")
    assert (
        runtime.call("CHECK", container.path, ipMasq=True, ipMasqBackend="nftables", prevResult=result)["code"] == 102
    )


@pytest.mark.parametrize("netns", ["container", "", "/run/netns/no-such"])
@pytest.mark.parametrize("backend", ["iptables", "nftables"])
def test_row_2_del_cleans_both_backends_with_and_without_namespace(
    runtime: Runtime, container: Space, backend: str, netns: str
) -> None:
    runtime.ipam_answers(FOUR, SIX)
    add(runtime, container, ipMasq=True, ipMasqBackend=backend)
    path = container.path if netns == "container" else netns
    assert [runtime.call("DEL", path, ipMasq=True) for _ in range(2)] == [{}, {}]
    assert (nat(runtime), nat(runtime, 6), runtime.masquerade()) == ([], [], [])


def test_an_interface_keeps_its_rules_when_its_sibling_goes(runtime: Runtime, container: Space) -> None:
    add(runtime, container, **LEGACY)
    second = {"address": "10.42.7.6/24", "gateway": "10.42.7.1"}
    runtime.ipam_answers(second)
    keys: dict[str, Any] = {**LEGACY, "isDefaultGateway": False, "isGateway": True}
    assert "code" not in runtime.call("ADD", container.path, ifname="eth1", **keys)
    assert runtime.call("DEL", container.path, **LEGACY) == {}
    assert [line for line in nat(runtime) if line.startswith("-A POSTROUTING")] == [
        f"-A POSTROUTING -s 10.42.7.6/32 {REMARK} -j {CHAIN}"
    ]
    assert runtime.call("DEL", container.path, ifname="eth1", **LEGACY) == {}
    assert nat(runtime) == []


def test_row_1_gc_removes_strangers_of_both_backends(runtime: Runtime, make_space: Callable[[str], Space]) -> None:
    for container_id, backend in (("c1", "iptables"), ("c2", "iptables"), ("c3", "nftables")):
        space = make_space(container_id)
        keys: dict[str, Any] = {"ipMasq": True, "ipMasqBackend": backend}
        assert "code" not in runtime.call("ADD", space.path, container=container_id, **keys)
    foreign = ("-A", "POSTROUTING", "-s", "198.51.100.7", "-j", "MASQUERADE")
    iptables.restore(4, "nat", (), [foreign], runtime.host.namespace)
    valid: dict[str, Any] = {
        "cniVersion": "1.1.0",
        "cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}],
    }
    assert runtime.call("GC", "", ipMasq=True, **valid) == {}
    targets = [line.split()[-1] for line in nat(runtime) if line.startswith("-A POSTROUTING")]
    assert (targets, runtime.masquerade()) == ([CHAIN, "MASQUERADE"], [])


def test_status_needs_the_backend_add_would_take(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: dict[str, Any] = {"cniVersion": "1.1.0", **LEGACY}
    assert runtime.call("STATUS", "", **keys) == {}
    monkeypatch.setattr(iptables, "PROGRAMS", {4: "no-such-iptables", 6: "no-such-ip6tables"})
    answer = runtime.call("STATUS", "", **keys)
    assert (answer["code"], "iptables" in answer["msg"]) == (50, True)


def test_del_needs_neither_program(runtime: Runtime, container: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iptables, "PROGRAMS", {4: "no-such-iptables", 6: "no-such-ip6tables"})
    monkeypatch.setattr("kernel.spawn.PLACES", ())
    monkeypatch.setattr("kernel.spawn.find", lambda *_: None)
    assert runtime.call("DEL", container.path, ipMasq=True, macspoofchk=True) == {}
