"""Claims about meta.portmap.ports: who gets a host port, and what stays in the real kernel (docs/reference/cni.md 4.1; 6, rows 12 and 13).

* A port of a live container is refused with both names, whichever backend has it; another address, protocol or port is not,
  nor one of the same container on another network.
* A stale mapping makes room only on evidence: its link is gone, it is of another boot, its target is the new one's address.
* Two interfaces of a container, and two networks of one, do not touch each other's rules.
* A host address that is not there yet is published on all the same, told with the command that adds it, and answers once it is there.
* A failure leaves nothing; another program that changes rules in between is met by reading again.
* A second ADD is pure addition, of two programs also where the backend is not configured; DEL deletes with one commit.
"""

import socket
import struct
from typing import Any

import pytest

from kernel import netns
from kernel.firewall import iptables, nft
from kernel.netlink.requests import DeleteLink
from meta.portmap import ports, state
from meta.portmap.rules import iptables as legacy
from tests.netns.portmap.conftest import SECOND, UPLINK, Runtime, serve, tcp, udp, visit
from tests.netns.programs import counted_programs
from tests.netns.spaces import Space

Keys = dict[str, Any]
BACKENDS = ("iptables", "nftables")


@pytest.mark.parametrize("first", BACKENDS)
@pytest.mark.parametrize("second", BACKENDS)
def test_row_13_a_port_of_a_live_container_is_refused_with_both_names(
    runtime: Runtime, first: str, second: str
) -> None:
    runtime.add(runtime.container(5), tcp(8080), backend=first)
    before = runtime.left()
    answer = runtime.call("ADD", runtime.container(6), tcp(8081), tcp(8080), name="other", backend=second)
    assert answer["code"] == 103
    assert answer["msg"] == "host port 8080/tcp, wanted by other/c2, is published by net/c1"
    assert runtime.left() == before


def test_other_ports_protocols_and_addresses_are_free(each: Runtime, outside: Space) -> None:
    each.add(each.container(5), tcp(8080, host_ip=UPLINK))
    each.add(each.container(6), tcp(8080, host_ip=SECOND), tcp(8081), udp(8080))
    answer = each.call("ADD", each.container(7), tcp(8080))
    assert "wanted by net/c3, is published by net/c" in answer["msg"]


def test_the_same_port_may_be_published_on_each_network_of_a_container(each: Runtime) -> None:
    container = each.container(5)
    first, second = container.result, each.container(6).result
    second["interfaces"][2]["name"] = "eth1"
    each.add(container, tcp(8080), prevResult=first)
    once = each.left()
    each.add(container, tcp(8080), prevResult=second, name="other", ifname="eth1")

    assert len(each.left()) > len(once)
    assert each.call("DEL", container, tcp(8080), name="other", ifname="eth1") == {}
    assert each.left() == once
    assert each.call("DEL", container, tcp(8080)) == {}
    assert each.left() == []


def test_what_the_reference_published_is_live_too(runtime: Runtime) -> None:
    table = {"family": "ip", "table": "cni_hostport"}
    port = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 8080}}
    rule = {"expr": [port, {"dnat": {"addr": "10.9.9.9", "port": 80}}], "comment": "somebody"}
    transaction: list[Keys] = [
        {"add": {"table": {"family": "ip", "name": "cni_hostport"}}},
        {"add": {"chain": {**table, "name": "hostports"}}},
        {"add": {"rule": {**table, "chain": "hostports", **rule}}},
    ]
    nft.run(transaction, runtime.host.namespace)
    answer = runtime.call("ADD", runtime.container(), tcp(8080))
    assert (answer["code"], "container somebody" in answer["msg"]) == (103, True)


def test_row_12_a_mapping_whose_link_is_gone_makes_room(each: Runtime) -> None:
    each.add(each.container(5, alias="net/c1/eth0"), tcp(8080))
    second = each.container(6)
    assert each.call("ADD", second, tcp(8080))["code"] == 103
    each.host.network.apply(DeleteLink("veth5"))
    each.add(second, tcp(8080))
    assert not any("10.1.0.5" in line for line in each.host.run("nft", "list", "ruleset").splitlines())


def test_a_mapping_whose_link_never_had_a_name_is_kept(each: Runtime) -> None:
    each.add(each.container(5), tcp(8080))
    each.host.network.apply(DeleteLink("veth5"))
    assert each.call("ADD", each.container(6), tcp(8080))["code"] == 103


def test_row_12_a_mapping_of_another_boot_makes_room(each: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    each.add(each.container(5), tcp(8080))
    monkeypatch.setattr(state, "current_boot", lambda: "another boot")
    each.add(each.container(6), tcp(8080))
    assert not any("10.1.0.5" in line for line in each.host.run("nft", "list", "ruleset").splitlines())


def test_row_12_mappings_to_what_is_our_address_now_go(each: Runtime) -> None:
    container = each.container(5)
    each.add(container, tcp(8080), tcp(9090))
    container.name = "heir"
    each.add(container, tcp(8080))
    assert "9090" not in each.host.run("nft", "list", "ruleset")
    assert "9090" not in "".join(each.nat())


def test_two_networks_of_one_container_keep_apart(each: Runtime) -> None:
    first, second = each.container(5), each.container(6)
    second.name = first.name
    each.add(first, tcp(8080))
    each.add(second, tcp(8081), name="other")
    assert each.call("DEL", first, tcp(8080)) == {}
    ruleset = "".join(each.nat()) + each.host.run("nft", "list", "ruleset")
    assert ("8080" in ruleset, "8081" in ruleset) == (False, True)


def test_two_interfaces_of_one_container_keep_apart(each: Runtime) -> None:
    container = each.container(5)
    each.add(container, tcp(8080))
    other = {
        **container.result,
        "interfaces": [{"name": "eth1", "sandbox": "/x"}],
        "ips": [{"address": "10.1.0.77/24", "interface": 0}],
    }
    keys: Keys = {"ifname": "eth1", "prevResult": other}
    assert "code" not in each.call("ADD", container, tcp(8081), **keys)
    assert each.call("DEL", container, tcp(8080)) == {}
    ruleset = "".join(each.nat()) + each.host.run("nft", "list", "ruleset")
    assert ("8080" in ruleset, "8081" in ruleset) == (False, True)
    assert each.call("DEL", container, tcp(8081), **keys) == {}
    assert each.left() == []


def test_a_second_add_replaces_its_own_rules(each: Runtime) -> None:
    container = each.container()
    each.add(container, tcp(8080))
    once = (each.nat(), each.nat(6), len(each.comments()))
    each.add(container, tcp(8080))
    assert (each.nat(), each.nat(6), len(each.comments())) == once
    each.add(container, tcp(9090))
    assert "8080" not in "".join(each.nat()) + each.host.run("nft", "list", "ruleset")


def test_a_change_of_backend_moves_the_rules(runtime: Runtime) -> None:
    container = runtime.container()
    for backend, legacy_left in (("nftables", False), ("iptables", True), ("nftables", False)):
        runtime.add(container, tcp(8080), backend=backend)
        assert (bool(runtime.containers_nat()), bool(runtime.comments())) == (legacy_left, not legacy_left)


def test_a_failure_leaves_nothing(each: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meta.portmap.ports.localnet_key", lambda _: "net/ipv4/conf/no-such/route_localnet")
    assert each.call("ADD", each.container(), tcp(8080))["code"] == 100
    assert each.left() == []


def test_a_missing_external_chain_is_named_and_a_present_one_used(runtime: Runtime) -> None:
    keys: Keys = {"externalSetMarkChain": "KUBE-MARK-MASQ"}
    container = runtime.container()
    answer = runtime.call("ADD", container, tcp(8080), **keys)
    assert (answer["code"], "KUBE-MARK-MASQ" in answer["msg"], runtime.left()) == (11, True, [])
    for family in (4, 6):
        iptables.restore(family, "nat", (), [("-N", "KUBE-MARK-MASQ")], runtime.host.namespace)
    runtime.add(container, tcp(8080), **keys)
    assert any(line.endswith("-s 127.0.0.1/32 -p tcp -m tcp --dport 8080 -j KUBE-MARK-MASQ") for line in runtime.nat())
    assert not any("SETMARK" in line for line in runtime.nat())


@pytest.mark.parametrize(("host_ip", "link"), [("192.0.2.77", "up0"), ("2001:db8::77", "up0")])
def test_a_host_address_that_comes_later_answers_then(each: Runtime, outside: Space, host_ip: str, link: str) -> None:
    container = each.container()
    serve(each, container.space, 80, "here")
    each.add(container, tcp(8080, host_ip=host_ip))
    assert each.call("CHECK", container, tcp(8080, host_ip=host_ip)) == {}
    with netns.inside(each.host.namespace):
        ((waiting, command),) = ports.waiting(each.host.network)
    length = waiting.target.max_prefixlen
    assert (str(waiting.host_ip), waiting.port, command) == (
        host_ip,
        8080,
        f"ip address add {host_ip}/{length} dev {link}",
    )
    each.host.run(*command.split(), *(["nodad"] if ":" in host_ip else []))
    assert visit(outside, host_ip, 8080).startswith("here")
    with netns.inside(each.host.namespace):
        assert ports.waiting(each.host.network) == []
    assert each.call("DEL", container, tcp(8080, host_ip=host_ip)) == {}
    assert each.left() == []


def test_a_program_that_changes_rules_in_between_is_met(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    real, raced = legacy.addition, list[bool]()

    def racing(*arguments: Any) -> Any:
        rules = real(*arguments)
        if not raced:
            raced.append(True)
            runtime.host.run("iptables", "-t", "nat", "-N", legacy.DNAT)
        return rules

    monkeypatch.setattr(legacy, "addition", racing)
    runtime.add(runtime.container(), tcp(8080), backend="iptables")
    assert raced
    assert len([line for line in runtime.nat() if line == f"-N {legacy.DNAT}"]) == 1


def test_old_vulnerable_hooks_are_made_anew(runtime: Runtime) -> None:
    """Until 1.8 the reference jumped to ports with a host address without asking whether that is local (CVE-2025-67499)."""
    old = """table ip cni_hostport {
        chain hostip_hostports { ip daddr 192.0.2.99 tcp dport 8080 dnat to 10.1.0.99:80 comment "x"; }
        chain hostports { tcp dport 99 dnat to 10.1.0.98:80 comment "y"; }
        chain prerouting { type nat hook prerouting priority dstnat; jump hostip_hostports; fib daddr type local jump hostports; }
    }"""
    path = runtime.directory / "old.nft"
    path.write_text(old)
    runtime.host.run("nft", "-f", str(path))
    runtime.add(runtime.container(), tcp(8181), backend="nftables")
    hook = runtime.host.run("nft", "list", "chain", "ip", "cni_hostport", "prerouting")
    assert [line.strip() for line in hook.splitlines() if "jump" in line] == ["fib daddr type local jump hostports_all"]
    assert {"x", "y"} <= set(runtime.comments())


def test_add_only_adds_and_del_deletes_in_one_commit(each: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    each.add(each.container(5), tcp(8080))
    container = each.container(6)
    started = counted_programs(monkeypatch)
    four = {**container.result, "ips": container.result["ips"][:1]}
    before = _generation(each)
    each.add(container, tcp(8081), prevResult=four)
    added = _generation(each) - before
    writers = [name for name in started if name.endswith("-restore")]
    assert (added, len(writers)) == (1, 1 if each.config["backend"] == "iptables" else 0)
    before = _generation(each)
    assert each.call("DEL", container, tcp(8081), prevResult=four) == {}
    assert _generation(each) - before == 1


def test_a_second_add_lists_once_and_writes_once(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    container = runtime.container(5)
    four = {**container.result, "ips": container.result["ips"][:1]}
    runtime.add(container, tcp(8080), prevResult=four)
    started = counted_programs(monkeypatch)
    runtime.add(container, tcp(8081), prevResult=four)
    assert started == ["iptables-save", "iptables-restore"]


def _generation(runtime: Runtime) -> int:
    """How many transactions nftables has carried out (iptables here is its nf_tables variant)."""
    with netns.inside(runtime.host.namespace):
        door = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    with door:
        door.send(struct.pack("=IHHIIBBH", 20, 0x0A10, 1, 1, 0, 0, 0, 0))  # NFT_MSG_GETGEN
        answer = door.recv(4096)
    return int(struct.unpack_from("!I", answer, 24)[0])


def test_long_names_are_told_apart(each: Runtime) -> None:
    """A comment of nftables holds 128 bytes, one of iptables 255: the owner's mark and chain stay whole."""
    network, name = "n" * 60, "c" * 200
    first, second = each.container(5), each.container(6)
    first.name = name
    each.add(first, tcp(8080), name=network)
    second.name = name + "x"
    answer = each.call("ADD", second, tcp(8080), name=network)
    assert (answer["code"], f"{network}/ccc" in answer["msg"]) == (103, True)
    each.add(second, tcp(8081), name=network)
    assert each.call("DEL", second, tcp(8081), name=network) == {}
    assert each.left() != []
    each.call("DEL", first, tcp(8080), name=network)
    assert each.left() == []
