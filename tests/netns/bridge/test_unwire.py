"""Claims about bridge.unwire: DEL finishes and leaves nothing; GC removes strangers only.

* DEL works twice, before any ADD, without namespace, with the namespace gone, and when IPAM fails.
* DEL never takes another attachment's interface.
* GC keeps what the runtime lists, and removes nothing when it lists nothing.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.netns.bridge.conftest import Runtime, add
from tests.netns.spaces import Space


def test_del_leaves_nothing_that_names_the_attachment(runtime: Runtime, container: Space) -> None:
    add(runtime, container, ipMasq=True)
    assert runtime.call("DEL", container.path, ipMasq=True) == {}
    assert (runtime.veths(), runtime.masquerade(), container.network.link("eth0")) == ([], [], None)
    assert runtime.ipam_calls() == ["ADD c1", "DEL c1"]


@pytest.mark.parametrize("netns", ["", "/run/netns/no-such", "/etc/hostname"])
def test_del_finishes_without_the_namespace(runtime: Runtime, container: Space, netns: str) -> None:
    add(runtime, container, ipMasq=True)
    assert runtime.call("DEL", netns, ipMasq=True) == {}
    assert (runtime.veths(), runtime.masquerade(), runtime.ipam_calls()[-1]) == ([], [], "DEL c1")


def test_del_succeeds_twice_and_before_any_add(runtime: Runtime, container: Space) -> None:
    assert [runtime.call("DEL", container.path) for _ in range(2)] == [{}, {}]


def test_del_cleans_up_after_a_config_that_add_refuses(runtime: Runtime, container: Space) -> None:
    assert runtime.call("ADD", container.path, vlan=9999)["code"] == 7
    assert runtime.call("DEL", container.path, vlan=9999) == {}


def test_del_of_another_attachment_leaves_the_interface(runtime: Runtime, container: Space) -> None:
    add(runtime, container)
    assert runtime.call("DEL", container.path, container="c2") == {}
    assert runtime.veths() == ["net/c1/eth0"]


def test_del_goes_on_when_ipam_fails(runtime: Runtime, container: Space) -> None:
    add(runtime, container, ipMasq=True)
    (runtime.directory / "fake-ipam").write_text('#!/bin/sh\necho \'{"code": 42, "msg": "no"}\'; exit 1\n')
    answer = runtime.call("DEL", container.path, ipMasq=True)
    assert (answer["code"], answer["msg"]) == (42, "no")
    assert (runtime.veths(), runtime.masquerade()) == ([], [])


def test_gc_removes_strangers_and_keeps_the_rest(runtime: Runtime, make_space: Callable[[str], Space]) -> None:
    for name in ("c1", "c2"):
        assert "code" not in runtime.call("ADD", make_space(name).path, container=name, ipMasq=True)
    valid: dict[str, Any] = {
        "cniVersion": "1.1.0",
        "cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}],
    }
    assert runtime.call("GC", "", ipMasq=True, **valid) == {}
    assert runtime.veths() == ["net/c1/eth0"]
    assert [rule["comment"][-2:] for rule in runtime.masquerade()] == ["c1"]


def test_gc_without_a_list_removes_nothing(runtime: Runtime, container: Space) -> None:
    add(runtime, container, ipMasq=True)
    assert runtime.call("GC", "", ipMasq=True, cniVersion="1.1.0") == {}
    assert (runtime.veths(), len(runtime.masquerade())) == (["net/c1/eth0"], 1)
