"""Claims about bridge.spoof_filter: forged MACs are dropped, in the real kernel (docs/reference/cni.md 2.6).

* One rule watches the port, one leads to the verdicts, two decide; none is left after DEL, with or without namespace.
* Frames under the container's own MAC pass, others do not.
* CHECK sees a missing rule, and adding again leaves one set.
* GC removes the sets of host ends that are gone (docs/reference/cni.md 6, row 1), of no network's living ones.
* The container may call its interface as it likes: ADD, CHECK, DEL and GC tell it from all others, and what is dropped is the same.
* What cannot be removed does not make DEL fail; a host that cannot do it is told what is missing.
"""

from collections.abc import Callable
from typing import Any

import pytest

from kernel import spawn
from kernel.firewall import nft
from kernel.netlink.requests import DeleteLink, SetLink
from tests.netns.bridge.conftest import FOUR, Runtime, add
from tests.netns.spaces import Space

WATCH, VERDICT = "cni-br-iface-c1-eth0", "cni-br-iface-c1-eth0-mac"


def counts(runtime: Runtime) -> dict[str, int]:
    """How many rules each chain of the table holds."""
    objects = nft.listing("bridge", "nat", runtime.host.namespace)
    rules: list[dict[str, Any]] = [item["rule"] for item in objects if "rule" in item]
    chains = [item["chain"]["name"] for item in objects if "chain" in item]
    return {chain: sum(rule["chain"] == chain for rule in rules) for chain in chains}


def test_one_rule_watches_one_leads_on_and_two_decide(runtime: Runtime, container: Space) -> None:
    add(runtime, container, macspoofchk=True)
    assert counts(runtime) == {"PREROUTING": 1, WATCH: 1, VERDICT: 2}


def test_without_the_key_there_are_no_rules(runtime: Runtime, container: Space) -> None:
    add(runtime, container)
    assert counts(runtime) == {}


@pytest.mark.parametrize("netns", ["container", "", "/run/netns/no-such"])
def test_del_leaves_no_rule_with_and_without_namespace(runtime: Runtime, container: Space, netns: str) -> None:
    add(runtime, container, macspoofchk=True)
    path = container.path if netns == "container" else netns
    assert [runtime.call("DEL", path, macspoofchk=True) for _ in range(2)] == [{}, {}]
    assert counts(runtime) == {"PREROUTING": 0}


def test_frames_under_a_forged_mac_are_dropped(runtime: Runtime, container: Space) -> None:
    add(runtime, container, macspoofchk=True)
    assert "1 received" in container.run("ping", "-c1", "-W2", "10.42.7.1")
    container.network.apply(SetLink("eth0", mac="02:00:00:00:00:99"))
    assert "0 received" in container.run("sh", "-c", "ping -c1 -W1 10.42.7.1 || true")


def test_check_sees_a_missing_rule(runtime: Runtime, container: Space) -> None:
    result = add(runtime, container, macspoofchk=True)
    assert runtime.call("CHECK", container.path, macspoofchk=True, prevResult=result) == {}
    runtime.host.run("nft", "flush", "chain", "bridge", "nat", VERDICT)
    answer = runtime.call("CHECK", container.path, macspoofchk=True, prevResult=result)
    assert (answer["code"], "forged MACs" in answer["msg"]) == (102, True)


NAMES = [
    "a*",
    "*",
    "**",
    "a\\*",
    "\\",
    "it's",
    'a"b',
    "@x",
    "a+",
    "-j",
    "!",
    "#",
    "{",
    "$x",
    "ü",
    "\x01",
    "aaaaaaaaaaaaaa*",
]


@pytest.mark.parametrize("ifname", NAMES)
@pytest.mark.parametrize("identifier", ["c1", "c" * 128])
def test_a_container_may_call_its_interface_as_it_likes(
    runtime: Runtime, make_space: Callable[[str], Space], ifname: str, identifier: str
) -> None:
    container, other = make_space("c1"), make_space("c2")
    for _ in range(2):  # the second time PREROUTING stands
        keys: dict[str, Any] = {"ifname": ifname, "container": identifier, "macspoofchk": True}
        result = runtime.call("ADD", container.path, **keys)
        assert "code" not in result, result
        runtime.ipam_answers({"address": "10.42.7.6/24", "gateway": "10.42.7.1"})
        assert "code" not in runtime.call("ADD", other.path, ifname="a", container=identifier, macspoofchk=True)
        runtime.ipam_answers(FOUR)
        assert runtime.call("CHECK", container.path, prevResult=result, **keys) == {}
        assert sorted(counts(runtime).values()) == [1, 1, 2, 2, 2]
        assert runtime.call("DEL", container.path, **keys) == {}
        assert sorted(counts(runtime).values()) == [1, 1, 2]
        assert runtime.call("DEL", other.path, ifname="a", container=identifier, macspoofchk=True) == {}
        assert counts(runtime) == {"PREROUTING": 0}


def test_gc_removes_the_rules_of_an_interface_that_is_named_like_a_pattern(runtime: Runtime, container: Space) -> None:
    assert "code" not in runtime.call("ADD", container.path, ifname="a*", macspoofchk=True)
    nobody: dict[str, Any] = {"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}
    assert runtime.call("GC", "", **nobody) == {}
    assert counts(runtime) == {"PREROUTING": 0}


def test_an_interface_that_is_named_like_a_pattern_forges_no_mac(runtime: Runtime, container: Space) -> None:
    assert "code" not in runtime.call("ADD", container.path, ifname="a*", macspoofchk=True)
    assert "1 received" in container.run("ping", "-c1", "-W2", "10.42.7.1")
    container.network.apply(SetLink("a*", mac="02:00:00:00:00:99"))
    assert "0 received" in container.run("sh", "-c", "ping -c1 -W1 10.42.7.1 || true")


def test_adding_again_after_a_lost_del_leaves_one_set(runtime: Runtime, container: Space) -> None:
    add(runtime, container, macspoofchk=True)
    container.network.apply(DeleteLink("eth0"))
    add(runtime, container, macspoofchk=True)
    assert counts(runtime) == {"PREROUTING": 1, WATCH: 1, VERDICT: 2}


def test_row_1_gc_removes_what_watches_nobody(runtime: Runtime, make_space: Callable[[str], Space]) -> None:
    for container_id in ("c1", "c2"):
        space = make_space(container_id)
        assert "code" not in runtime.call("ADD", space.path, container=container_id, macspoofchk=True)
    other = make_space("c9")
    assert "code" not in runtime.call("ADD", other.path, container="c9", name="other", macspoofchk=True)
    valid: dict[str, Any] = {
        "cniVersion": "1.1.0",
        "cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}],
    }
    assert runtime.call("GC", "", **valid) == {}
    left = {chain for chain in counts(runtime) if chain.endswith("-mac")}
    assert left == {VERDICT, "cni-br-iface-c9-eth0-mac"}


def test_what_cannot_be_removed_does_not_fail_del(runtime: Runtime, container: Space) -> None:
    add(runtime, container, macspoofchk=True)
    runtime.host.run(
        "nft", "add", "rule", "bridge", "nat", "PREROUTING", "jump", WATCH
    )  # a stranger's: the chain is busy
    assert runtime.call("DEL", container.path, macspoofchk=True) == {}
    assert (runtime.veths(), runtime.ipam_calls()[-1]) == ([], "DEL c1")


def test_status_can_tell(runtime: Runtime) -> None:
    assert runtime.call("STATUS", "", cniVersion="1.1.0", macspoofchk=True) == {}
    assert counts(runtime) == {}


def test_a_host_without_nftables_is_told_what_is_missing(
    runtime: Runtime, container: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spawn, "find", lambda *_: None)
    answer = runtime.call("ADD", container.path, macspoofchk=True)
    assert (answer["code"], '"macspoofchk": true needs nftables' in answer["msg"]) == (100, True)
    assert "CONFIG_NF_TABLES_BRIDGE" in answer["remedy"]
    assert (runtime.veths(), runtime.ipam_calls()) == ([], ["ADD c1", "DEL c1"])
    assert runtime.call("STATUS", "", cniVersion="1.1.0", macspoofchk=True)["code"] == 50
