"""Claims about meta.flannel.plugin, with a delegate that is a shell script.

* ADD hands the delegate its own document and returns its answer; what was said is on stderr and on disk.
* Missing lease keys are named in the reference's words: code 11 for ADD, 50 for STATUS; the others never need the lease.
* DEL says the saved bytes again; the memory goes only when the delegate succeeded; without one DEL succeeds.
* Memories of the reference serve DEL after an upgrade; those of another network and unreadable ones are left alone.
* A refused second ADD leaves the first one's memory; a failed first ADD leaves its own for the DEL that follows.
* CHECK hands on the earlier result; GC is handed on once a configuration and forgets what the runtime no longer knows.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.meta.flannel.conftest import LEASE, Runtime

RESULT = {"cniVersion": "1.1.0", "ips": [{"address": "10.1.17.2/24"}]}


def attachments(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"cni.dev/valid-attachments": [{"containerID": each, "ifname": name} for each, name in pairs]}


def test_add_returns_the_delegates_answer(runtime: Runtime) -> None:
    assert runtime.call("ADD") == RESULT
    assert runtime.calls() == ["ADD c1 eth0"]


def test_what_the_delegate_is_told_is_on_stderr_and_on_disk(runtime: Runtime) -> None:
    runtime.call("ADD")
    told = (runtime.directory / "stdin.ADD").read_bytes()
    assert told == (runtime.state / "c1").read_bytes().strip() == runtime.said.strip().encode()
    assert json.loads(told)["ipam"]["ranges"] == [[{"subnet": "10.1.17.0/24"}]]


@pytest.mark.parametrize(("verb", "code"), [("ADD", 11), ("STATUS", 50)])
@pytest.mark.parametrize(
    ("lost", "named"),
    [
        (("FLANNEL_MTU",), "FLANNEL_MTU"),
        (("FLANNEL_SUBNET", "FLANNEL_IPMASQ"), "FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET, FLANNEL_IPMASQ"),
        (
            ("FLANNEL_",),
            "FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK, FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET, FLANNEL_MTU, FLANNEL_IPMASQ",
        ),
    ],
)
def test_missing_keys_are_named_in_the_references_words(
    runtime: Runtime, verb: str, code: int, lost: tuple[str, ...], named: str
) -> None:
    runtime.lease.write_text("".join(line for line in LEASE.splitlines(keepends=True) if not line.startswith(lost)))
    answer = runtime.call(verb)
    assert (answer["code"], answer["msg"]) == (code, f"{runtime.lease} is missing {named}")
    assert runtime.calls() == []


@pytest.mark.parametrize(("verb", "code"), [("ADD", 11), ("STATUS", 50)])
@pytest.mark.parametrize("content", [None, "FLANNEL_MTU"])
def test_a_lease_nobody_can_go_by_is_named_with_a_remedy(
    runtime: Runtime, verb: str, code: int, content: str | None
) -> None:
    runtime.lease.unlink() if content is None else runtime.lease.write_text(content)
    answer = runtime.call(verb)
    assert (answer["code"], str(runtime.lease) in answer["msg"], "tulled" in answer["remedy"]) == (code, True, True)


def test_status_asks_the_delegate(runtime: Runtime) -> None:
    assert runtime.call("STATUS") == {}
    runtime.break_delegate()
    assert runtime.call("STATUS")["code"] == 4711


def test_check_del_and_gc_never_need_the_lease(runtime: Runtime) -> None:
    runtime.call("ADD")
    runtime.lease.unlink()
    assert runtime.call("CHECK", prevResult=RESULT) == {}
    assert runtime.call("GC", **attachments(("c1", "eth0"))) == {}
    assert runtime.call("DEL") == {}
    assert [call.split()[0] for call in runtime.calls()] == ["ADD", "CHECK", "GC", "DEL"]


def test_del_says_the_saved_bytes_again_even_on_another_lease(runtime: Runtime) -> None:
    runtime.call("ADD")
    runtime.lease.write_text(LEASE.replace("10.1.17.1", "10.1.99.1"))
    runtime.call("DEL", delegate=None)
    assert runtime.told("DEL") == runtime.told("ADD")
    assert runtime.files() == []


def test_del_is_finished_without_any_memory(runtime: Runtime) -> None:
    assert [runtime.call("DEL"), runtime.call("DEL", dataDir="nowhere"), runtime.calls()] == [{}, {}, []]


def test_a_failed_del_can_be_repeated(runtime: Runtime) -> None:
    runtime.call("ADD")
    runtime.break_delegate()
    assert runtime.call("DEL")["code"] == 4711
    assert runtime.files() == ["c1"]
    runtime.mend_delegate()
    assert (runtime.call("DEL"), runtime.files()) == ({}, [])
    assert runtime.calls() == ["ADD c1 eth0", "DEL c1 eth0", "DEL c1 eth0"]


def test_del_of_one_interface_leaves_the_other(runtime: Runtime) -> None:
    for ifname in ("eth0", "net1"):
        runtime.call("ADD", ifname=ifname)
    runtime.call("DEL", ifname="net1")
    assert (runtime.files(), runtime.calls()[-1]) == (["c1"], "DEL c1 net1")


def keep_as_reference(runtime: Runtime, container: str = "c1", **members: Any) -> Path:
    runtime.state.mkdir(exist_ok=True)
    file = runtime.state / container
    file.write_text(json.dumps({"type": "probe", "name": "net", **members}))
    return file


def test_the_references_memory_serves_after_an_upgrade(runtime: Runtime) -> None:
    keep_as_reference(runtime, mtu=1)
    assert runtime.call("DEL") == {}
    assert (runtime.told("DEL")["mtu"], runtime.files()) == (1, [])


def test_flannels_own_program_finds_the_memory_of_the_first_interface(runtime: Runtime) -> None:
    runtime.call("ADD")
    assert json.loads((runtime.state / "c1").read_bytes()) == runtime.told("ADD")
    (runtime.state / "c1").unlink()  # what its DEL does once the delegate has succeeded
    assert (runtime.call("DEL"), runtime.files(), runtime.calls()) == ({}, [], ["ADD c1 eth0"])


def test_del_of_another_interface_leaves_the_firsts(runtime: Runtime) -> None:
    runtime.call("ADD")
    assert (runtime.call("DEL", ifname="net1"), runtime.files(), runtime.calls()) == ({}, ["c1"], ["ADD c1 eth0"])


def test_what_flannels_own_program_remembers_is_not_written_over(runtime: Runtime) -> None:
    keep_as_reference(runtime, mtu=1)
    runtime.call("ADD")
    assert runtime.files() == ["c1", "c1:eth0"]
    assert (runtime.call("DEL"), runtime.files()) == ({}, ["c1"])
    assert (runtime.call("DEL", ifname="net1"), runtime.told("DEL")["mtu"], runtime.files()) == ({}, 1, [])


def test_a_memory_of_another_network_is_left_alone(runtime: Runtime) -> None:
    keep_as_reference(runtime, name="other")
    assert (runtime.call("DEL"), runtime.calls(), runtime.files()) == ({}, [], ["c1"])


@pytest.mark.parametrize("content", ["", "{", '{"type": 1, "name": "net"}', '{"type": "probe"}', "[]"])
def test_an_unreadable_memory_is_told_on_stderr_and_kept(runtime: Runtime, content: str) -> None:
    keep_as_reference(runtime).write_text(content)
    assert (runtime.call("DEL"), runtime.calls(), runtime.files()) == ({}, [], ["c1"])
    assert f"{runtime.state}/c1" in runtime.said


def test_a_failed_add_stays_remembered_for_its_del(runtime: Runtime) -> None:
    runtime.break_delegate()
    assert runtime.call("ADD")["code"] == 4711
    runtime.mend_delegate()
    assert (runtime.call("DEL"), runtime.calls()) == ({}, ["ADD c1 eth0", "DEL c1 eth0"])


def test_a_delegate_that_is_not_there_leaves_no_memory(runtime: Runtime) -> None:
    answer = runtime.call("ADD", delegate={"type": "absent"})
    assert (answer["code"], runtime.files()) == (7, [])


def test_a_refused_second_add_leaves_the_first_ones_memory(runtime: Runtime) -> None:
    runtime.call("ADD")
    first = runtime.told("ADD")
    runtime.lease.write_text(LEASE.replace("10.1.17.1", "10.1.99.1"))
    runtime.break_delegate()
    assert runtime.call("ADD")["code"] == 4711
    runtime.mend_delegate()
    runtime.call("DEL")
    assert runtime.told("DEL") == first


def test_check_hands_on_the_earlier_result(runtime: Runtime) -> None:
    runtime.call("ADD")
    assert runtime.call("CHECK", prevResult=RESULT) == {}
    assert runtime.told("CHECK") == {**runtime.told("ADD"), "prevResult": RESULT}


def test_check_of_what_nobody_remembers_fails(runtime: Runtime) -> None:
    assert runtime.call("CHECK", prevResult=RESULT)["code"] == 102


def test_gc_forgets_what_the_runtime_no_longer_knows(runtime: Runtime) -> None:
    for container in ("c1", "c2"):
        runtime.call("ADD", container)
    keep_as_reference(runtime, "c3")
    keep_as_reference(runtime, "c4", name="other")
    keep_as_reference(runtime, "c5")
    assert runtime.call("GC", **attachments(("c2", "eth0"), ("c5", "eth7"))) == {}
    assert runtime.files() == ["c2", "c4", "c5"]
    assert runtime.told("GC")["cni.dev/valid-attachments"][0] == {"containerID": "c2", "ifname": "eth0"}


def test_gc_is_handed_on_once_a_configuration(runtime: Runtime) -> None:
    for container in ("c1", "c2"):
        runtime.call("ADD", container, runtimeConfig={"ips": [container]})
    runtime.call("GC", **attachments())
    assert [call.split()[0] for call in runtime.calls()] == ["ADD", "ADD", "GC"]


def test_gc_reaches_the_delegate_when_nothing_is_remembered(runtime: Runtime) -> None:
    assert (runtime.call("GC", **attachments()), len(runtime.calls())) == ({}, 1)


def test_gc_forgets_nothing_when_the_delegate_failed(runtime: Runtime) -> None:
    runtime.call("ADD")
    runtime.break_delegate()
    assert (runtime.call("GC", **attachments())["code"], runtime.files()) == (4711, ["c1"])


def test_gc_without_a_list_forgets_nothing(runtime: Runtime) -> None:
    runtime.call("ADD")
    assert (runtime.call("GC"), runtime.files()) == ({}, ["c1"])
