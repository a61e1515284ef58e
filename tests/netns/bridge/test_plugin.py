"""Claims about bridge.plugin: the verbs' order of work and what they need of the lease.

* A bad namespace or an IPAM without addresses ends ADD before anything is wired.
* The lease gives MTU, gateway and masquerade; missing, it is named with its likely cause; DEL, CHECK, GC do without.
* A delegate that read another lease is undone; STATUS asks IPAM.
Left out: real addresses from host-local (tests/e2e).
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.netns.bridge.conftest import Runtime, add
from tests.netns.spaces import Space


def test_a_path_that_is_no_namespace_is_refused_before_any_work(runtime: Runtime, tmp_path: Path) -> None:
    answer = runtime.call("ADD", str(tmp_path))
    assert (answer["code"], runtime.ipam_calls()) == (8, [])


def test_ipam_without_addresses_is_refused(runtime: Runtime, container: Space) -> None:
    runtime.ipam_answers()
    answer = runtime.call("ADD", container.path)
    assert answer["msg"] == "IPAM plugin returned missing IP config"
    assert runtime.ipam_calls() == ["ADD c1", "DEL c1"]


def test_status_asks_ipam(runtime: Runtime) -> None:
    assert runtime.call("STATUS", "", cniVersion="1.1.0", ipMasq=True) == {}
    assert [call.split()[0] for call in runtime.ipam_calls()] == ["STATUS"]


def test_lease_gives_mtu_gateway_and_masquerade(runtime: Runtime, container: Space, lease: str) -> None:
    result = add(runtime, container, subnetFile=lease)
    end = container.network.link("eth0")
    assert end is not None
    (rule,) = runtime.masquerade()
    assert (end.mtu, "10.42.0.0" in json.dumps(rule), "10.42.7.0" in json.dumps(rule)) == (1450, True, False)
    assert runtime.call("CHECK", container.path, subnetFile=lease, prevResult=result) == {}


@pytest.mark.parametrize(("verb", "code"), [("ADD", 11), ("STATUS", 50)])
def test_a_missing_lease_is_named_with_its_likely_cause(
    runtime: Runtime, container: Space, verb: str, code: int
) -> None:
    answer = runtime.call(verb, container.path, cniVersion="1.1.0", subnetFile="/no/such/subnet.env")
    assert (answer["code"], "/no/such/subnet.env" in answer["msg"], "tulled" in answer["remedy"]) == (code, True, True)


def test_del_check_and_gc_never_need_the_lease(runtime: Runtime, container: Space, lease: str) -> None:
    result = add(runtime, container, subnetFile=lease)
    Path(lease).unlink()
    keys: dict[str, Any] = {"cniVersion": "1.1.0", "subnetFile": lease}
    assert runtime.call("CHECK", container.path, **{**keys, "prevResult": {**result, "cniVersion": "1.1.0"}}) == {}
    assert runtime.call("GC", "", **(keys | {"cni.dev/valid-attachments": []})) == {}
    assert runtime.call("DEL", container.path, **keys) == {}
    assert (runtime.veths(), runtime.masquerade()) == ([], [])


def test_a_delegate_on_another_lease_is_undone_with_code_11(runtime: Runtime, container: Space, lease: str) -> None:
    runtime.ipam_answers({"address": "10.42.9.5/24", "gateway": "10.42.9.1"})
    answer = runtime.call("ADD", container.path, subnetFile=lease)
    assert (answer["code"], runtime.ipam_calls()) == (11, ["ADD c1", "DEL c1"])
    assert runtime.veths() == []
