"""Claims about the verbs of `bandwidth` (docs/reference/cni.md 4.3, 1.11, section 5).

* ADD answers prevResult with the ifb at its end when it limits egress, and untouched otherwise; a container's second interface has an ifb too.
* With the burst that containerd and CRI-O send ADD succeeds at every rate of a Kubernetes annotation, both ways, and CHECK agrees.
* Without limits nothing is touched; without prevResult, interfaces or a veth that prevResult names ADD is refused.
* An ifb this attachment left behind makes room, a stranger's does not; an end that is limited already is refused untouched.
* A refused ADD leaves nothing.
* DEL finishes with and without prevResult, namespace and configuration, twice; it leaves other attachments' ifbs, and takes the reference's.
* GC removes the ifbs of attachments that are not listed, of this network only; without a list none.
* STATUS succeeds where everything can be done, and leaves nothing.
"""

from typing import Any

import pytest

from cni.attachment_id import AttachmentID
from kernel.netlink.objects import TokenBucket
from kernel.netlink.requests import AddIfb, AddTokenBucket, SetLink
from meta.bandwidth.plan import devices
from tests.netns.bandwidth.conftest import BOTH, Runtime

FIRST, SECOND = devices(AttachmentID("net", "c1", "eth1"))
EGRESS = {"egressRate": 16_000_000, "egressBurst": 80_000}
INGRESS = {"ingressRate": 8_000_000, "ingressBurst": 80_000}
Keys = dict[str, Any]


def test_add_answers_with_the_ifb_at_the_end(runtime: Runtime) -> None:
    container = runtime.container()
    answer = runtime.add(container, **BOTH)
    link = runtime.host.network.link(FIRST)
    assert link
    assert answer == {
        **container.result,
        "interfaces": [*container.result["interfaces"], {"name": FIRST, "mac": link.mac}],
    }
    assert (link.kind, link.mtu, link.up, link.queue, link.alias) == ("ifb", 1400, True, 0, "net/c1/eth0")


def test_what_arrives_only_needs_no_ifb(runtime: Runtime) -> None:
    container = runtime.container()
    assert runtime.add(container, **INGRESS) == container.result
    assert runtime.ifbs() == {}
    assert [line.split()[1] for line in runtime.qdiscs("veth1")] == ["tbf"]


def test_what_is_sent_only_is_limited_on_the_ifb(runtime: Runtime) -> None:
    runtime.add(runtime.container(), runtimeConfig={"bandWidth": EGRESS})
    assert [line.split()[1] for line in runtime.qdiscs("veth1") if "noqueue" not in line] == ["ingress"]
    assert [line.split()[1] for line in runtime.qdiscs(FIRST)] == ["tbf"]


@pytest.mark.parametrize("burst", [2**32 - 1, (2**32 - 1) * 8 - 1])
@pytest.mark.parametrize("rate", [1000, 10**6, 10**9, 10**15])
def test_a_burst_that_nobody_typed_is_cut(runtime: Runtime, rate: int, burst: int) -> None:
    wished = {
        f"{way}{what}": value for way in ("ingress", "egress") for what, value in (("Rate", rate), ("Burst", burst))
    }
    container, asked = runtime.container(), {"runtimeConfig": {"bandwidth": wished}}
    runtime.add(container, **asked)
    assert runtime.call("CHECK", container, **asked) == {}


def test_a_burst_that_somebody_typed_is_refused(runtime: Runtime) -> None:
    refused = runtime.call("ADD", runtime.container(), ingressRate=1_000_000, ingressBurst=2**32 - 1)
    assert (refused["code"], "beyond what the kernel can count" in refused["msg"]) == (7, True)


def test_without_limits_nothing_is_touched(runtime: Runtime) -> None:
    container = runtime.container()
    assert runtime.add(container, ingressRate=0, ingressBurst=0) == container.result
    assert (runtime.ifbs(), [line.split()[1] for line in runtime.qdiscs("veth1")]) == ({}, ["noqueue"])


@pytest.mark.parametrize(
    ("previous", "words"),
    [
        (None, "must be called as chained plugin"),
        ({"cniVersion": "1.0.0"}, "no interfaces provided"),
        (
            {"cniVersion": "1.0.0", "interfaces": [{"name": "nope"}]},
            "no veth peer of container interface found in host ns",
        ),
    ],
)
def test_add_needs_a_veth_that_prev_result_names(runtime: Runtime, previous: Any, words: str) -> None:
    answer = runtime.call("ADD", runtime.container(), **BOTH, prevResult=previous)
    assert (answer["code"], answer["msg"]) == (7, words)


def test_what_is_no_veth_is_refused(runtime: Runtime) -> None:
    container = runtime.container()
    container.space.network.apply(AddIfb("eth9"))
    container.ifname = "eth9"
    assert "no veth peer" in runtime.call("ADD", container, **BOTH)["msg"]


def test_a_second_interface_of_a_container_has_an_ifb_of_its_own(runtime: Runtime) -> None:
    container = runtime.container()
    runtime.add(container, **BOTH)
    other = runtime.container(2, container.space, "eth1")
    runtime.add(other, **EGRESS)
    assert runtime.ifbs() == {FIRST: "net/c1/eth0", SECOND: "net/c1/eth1"}
    assert runtime.call("CHECK", other, **EGRESS) == {}
    assert runtime.call("DEL", container) == {}
    assert runtime.ifbs() == {SECOND: "net/c1/eth1"}
    assert runtime.call("DEL", other) == {}
    assert runtime.ifbs() == {}


def test_an_ifb_left_behind_makes_room(runtime: Runtime) -> None:
    runtime.host.network.apply(AddIfb(FIRST), SetLink(FIRST, alias="net/c1/eth0"))
    before = runtime.host.index(FIRST)
    runtime.add(runtime.container(), **BOTH)
    assert runtime.host.index(FIRST) != before


def test_a_strangers_devices_are_not_touched(runtime: Runtime) -> None:
    container = runtime.container()
    own = devices(AttachmentID("net", "c1", "eth0"))
    for name in own:
        runtime.host.network.apply(AddIfb(name), SetLink(name, alias="other/c9/eth0"))
    answer = runtime.call("ADD", container, **BOTH)
    assert (answer["code"], f"the devices {own[0]} and {own[1]}" in answer["msg"]) == (103, True)
    assert runtime.call("DEL", container) == {}
    assert len(runtime.ifbs()) == 2


def test_an_end_that_is_limited_already_is_refused_untouched(runtime: Runtime) -> None:
    container = runtime.container()
    runtime.add(container, **BOTH)
    before = (runtime.ifbs(), runtime.qdiscs("veth1"))
    answer = runtime.call("ADD", container, **BOTH)
    assert (answer["code"], "limited already" in answer["msg"]) == (103, True)
    assert (runtime.ifbs(), runtime.qdiscs("veth1")) == before


def test_a_refused_add_leaves_nothing(runtime: Runtime) -> None:
    container = runtime.container()
    runtime.host.run("tc", "qdisc", "add", "dev", "veth1", "root", "pfifo")
    before = runtime.qdiscs("veth1")
    assert runtime.call("ADD", container, **BOTH)["code"] == 100
    assert (runtime.ifbs(), runtime.qdiscs("veth1")) == ({}, before)


@pytest.mark.parametrize(
    "keys",
    [BOTH, {**BOTH, "prevResult": None}, {"prevResult": "nonsense"}, {"ingressRate": -1}, {"runtimeConfig": 5}],
    ids=["as added", "no prevResult", "bad prevResult", "bad rate", "bad runtimeConfig"],
)
def test_del_finishes_and_leaves_nothing(runtime: Runtime, keys: Keys) -> None:
    container, other = runtime.container(1), runtime.container(2)
    runtime.add(other, **BOTH)
    kept = runtime.ifbs()
    runtime.add(container, **BOTH)
    assert [runtime.call("DEL", container, **keys) for _ in range(2)] == [{}, {}]
    assert runtime.ifbs() == kept


def test_del_needs_no_namespace(runtime: Runtime) -> None:
    runtime.add(runtime.container(), **BOTH)
    assert [runtime.call("DEL") for _ in range(2)] == [{}, {}]
    assert runtime.ifbs() == {}


@pytest.mark.parametrize("valid", [[{"containerID": "c1", "ifname": "eth0"}], [], None])
def test_gc_removes_what_is_not_listed(runtime: Runtime, valid: Any) -> None:
    for number, name in ((1, "net"), (2, "net"), (3, "other")):
        runtime.add(runtime.container(number), **EGRESS, name=name)
    assert runtime.call("GC", cniVersion="1.1.0", **{"cni.dev/valid-attachments": valid}) == {}
    kept = {"other/c3/eth0", *(["net/c1/eth0"] if valid else [])}
    assert set(runtime.ifbs().values()) == kept


def test_gc_without_a_list_removes_nothing(runtime: Runtime) -> None:
    runtime.add(runtime.container(), **EGRESS)
    assert runtime.call("GC", cniVersion="1.1.0") == {}
    assert len(runtime.ifbs()) == 1


def test_status_tries_everything_and_leaves_nothing(runtime: Runtime) -> None:
    before = runtime.host.network.links()
    assert runtime.call("STATUS", cniVersion="1.1.0") == {}
    assert runtime.host.network.links() == before


def test_check_names_what_differs(runtime: Runtime) -> None:
    container = runtime.container()
    runtime.add(container, **BOTH)
    assert runtime.call("CHECK", container, **BOTH) == {}
    assert runtime.call("CHECK", container, **{**BOTH, "egressRate": 8_000_000})["code"] == 102
    for command, words in (
        (("tc", "filter", "del", "dev", "veth1", "parent", "ffff:"), "is not redirected"),
        (("ip", "link", "set", FIRST, "down"), f'the ifb "{FIRST}" is down'),
        (("ip", "link", "delete", FIRST), f'the ifb "{FIRST}" is missing'),
        (("tc", "qdisc", "del", "dev", "veth1", "root"), 'no token bucket limits "veth1"'),
    ):
        runtime.host.run(*command)
        answer = runtime.call("CHECK", container, **BOTH)
        assert (answer["code"], words in answer["msg"]) == (102, True), answer


def test_check_needs_the_veth_even_without_limits(runtime: Runtime) -> None:
    container = runtime.container()
    assert runtime.call("CHECK", container) == {}
    assert runtime.call("CHECK", container, prevResult=None)["msg"] == "must be called as a chained plugin"
    runtime.host.run("ip", "link", "delete", "veth1")
    assert runtime.call("CHECK", container)["code"] == 7


def test_rates_beyond_32_bits_are_kept_by_the_kernel(runtime: Runtime) -> None:
    runtime.container()
    end = runtime.host.index("veth1")
    bucket = TokenBucket(10_000_000_000, 251_000_000, 100)
    runtime.host.network.apply(AddTokenBucket(end, bucket))
    assert [each.bucket for each in runtime.host.network.qdiscs(end)] == [bucket]
