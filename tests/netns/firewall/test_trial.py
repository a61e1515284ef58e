"""Claims about STATUS of `firewall`: a kernel that refuses such rules is told with code 50, and nothing is left."""

import pytest

from cni.errors import CniError
from kernel.firewall import iptables
from meta.firewall import dry_run
from tests.netns.firewall.conftest import Runtime


def test_a_chain_in_the_way_is_told_and_stays(runtime: Runtime) -> None:
    runtime.host.run("iptables", "-N", dry_run.CHAIN)
    answer = runtime.call("STATUS", cniVersion="1.1.0", backend="iptables")
    assert (answer["code"], answer["msg"]) == (50, "firewall needs iptables, which does not work here")
    assert f"-N {dry_run.CHAIN}" in runtime.legacy()


def test_an_absent_program_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(iptables.PROGRAMS, 4, "no-such-iptables")
    with pytest.raises(CniError, match="firewall needs iptables"):
        dry_run.require("iptables")
