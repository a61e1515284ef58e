"""Claims about the verbs of `tuning` (docs/reference/cni.md 4.4, 1.11, section 5).

* ADD sets parameters and properties and tells MAC and MTU; CHECK then holds; DEL puts everything back, parameters too, and leaves no file.
* DEL finishes without namespace, interface, prevResult and a good configuration, twice, and always removes the file.
* A second ADD does not forget what was there at first; a refused ADD leaves everything as it was, the file too.
* The allow-list decides before anything is touched; CHECK names what differs; GC takes only files.
* Parameters alone need no interface; DEL goes by container and interface; what the kernel refuses has a remedy that fits.
"""

from pathlib import Path
from typing import Any

import pytest

from kernel import sysctl
from kernel.netlink.requests import DeleteLink
from meta.tuning import allowlist
from tests.netns.tuning.conftest import LINK, MAC, PORTS, RESERVED, SYSCTLS, Runtime

Keys = dict[str, Any]
ALL: Keys = {**LINK, "txQLen": 500, "sysctl": SYSCTLS}


def test_what_is_wished_is_set_and_put_back(runtime: Runtime) -> None:
    before = runtime.state
    answer = runtime.add(**ALL)
    told = {"name": "eth0", "mac": MAC, "mtu": 1454, "sandbox": "/x"}
    assert answer == {**runtime.config["prevResult"], "interfaces": [{"name": "br0"}, told]}
    assert runtime.state == (MAC, 1454, True, True, 500, "2000\t3000", "", "1")
    assert (runtime.call("CHECK", **ALL), runtime.files) == ({}, ["c1_eth0.json"])
    assert [runtime.call("DEL", **ALL) for _ in range(2)] == [{}, {}]
    assert (runtime.state, runtime.files) == (before, [])


def test_without_wishes_nothing_is_touched(runtime: Runtime) -> None:
    before = runtime.state
    assert runtime.add() == runtime.config["prevResult"]
    assert (runtime.state, runtime.files) == (before, [])


def test_what_is_on_can_be_turned_off_and_comes_back(runtime: Runtime) -> None:
    runtime.container.run("ip", "link", "set", "eth0", "promisc", "on", "allmulticast", "on")
    before = runtime.state
    off: Keys = {"promisc": False, "allmulti": False, "txQLen": 0}
    runtime.add(**off)
    assert runtime.state[2:5] == (False, False, 0)
    assert runtime.call("CHECK", **off) == {}
    runtime.call("DEL")
    assert runtime.state == before


def test_an_empty_list_is_put_back_and_written(runtime: Runtime) -> None:
    runtime.add(sysctl={"net/ipv4/ip_local_reserved_ports": "80"})
    assert runtime.value(RESERVED) == "80"
    runtime.call("DEL")
    assert runtime.value(RESERVED) == ""
    sysctl.write(RESERVED, "90", runtime.container.namespace)
    runtime.add(sysctl={"net/ipv4/ip_local_reserved_ports": ""})
    assert runtime.value(RESERVED) == ""


def test_what_can_only_be_written_is_not_compared(runtime: Runtime) -> None:
    keys: Keys = {"sysctl": {"net.ipv4.route.flush": "1"}}
    runtime.add(**keys)
    assert (runtime.call("CHECK", **keys), runtime.call("DEL", **keys)) == ({}, {})


@pytest.mark.parametrize("keys", [{"prevResult": None}, {"prevResult": 5}, {"sysctl": 5}, {"mac": "zz", "mtu": "x"}])
def test_del_goes_by_what_is_remembered(runtime: Runtime, keys: dict[str, Any]) -> None:
    before = runtime.state
    runtime.add(**ALL)
    assert runtime.call("DEL", **keys) == {}
    assert (runtime.state, runtime.files) == (before, [])


def test_del_needs_neither_namespace_nor_interface(runtime: Runtime) -> None:
    runtime.add(**ALL)
    assert runtime.call("DEL", netns="/run/netns/gone", **ALL) == {}
    assert runtime.files == []
    ports = runtime.value(PORTS)
    runtime.add(sysctl={"net.ipv4.ip_local_port_range": "4000 5000"}, mtu=1300)
    runtime.container.network.apply(DeleteLink("eth0"))
    assert runtime.call("DEL") == {}
    assert (runtime.value(PORTS), runtime.files) == (ports, [])


def test_del_goes_by_container_and_interface_whatever_the_network_is_called(runtime: Runtime) -> None:
    before = runtime.state
    runtime.add(**ALL)
    assert runtime.call("DEL", name="other") == {}
    assert (runtime.state, runtime.files) == (before, [])


def test_parameters_alone_need_no_interface(runtime: Runtime) -> None:
    ports = runtime.value(PORTS)
    runtime.container.network.apply(DeleteLink("eth0"))
    keys: Keys = {"sysctl": {"net.ipv4.ip_local_port_range": "4000 5000"}}
    runtime.add(**keys)
    assert (runtime.value(PORTS), runtime.call("CHECK", **keys)) == ("4000\t5000", {})
    assert runtime.call("DEL", **keys) == {}
    assert (runtime.value(PORTS), runtime.files) == (ports, [])
    assert runtime.call("ADD", mtu=1300, **keys)["msg"].startswith('no interface "eth0"')


def test_a_second_add_keeps_what_was_there_at_first(runtime: Runtime) -> None:
    before = runtime.state
    runtime.add(**ALL)
    runtime.add(**{**ALL, "mtu": 1300})
    runtime.call("DEL")
    assert runtime.state == before


def test_a_refused_add_leaves_everything_as_it_was(runtime: Runtime) -> None:
    before = runtime.state
    refused: Keys = {**ALL, "mtu": 10}
    assert runtime.call("ADD", **refused)["code"] == 100
    assert (runtime.state, runtime.files) == (before, [])
    runtime.add(mtu=1300, sysctl=SYSCTLS)
    changed, memory = runtime.state, (runtime.folder / "c1_eth0.json").read_bytes()
    assert runtime.call("ADD", **refused)["code"] == 100
    assert (runtime.state, (runtime.folder / "c1_eth0.json").read_bytes()) == (changed, memory)
    runtime.call("DEL")
    assert runtime.state == before


def test_a_parameter_that_is_absent_is_refused_by_name(runtime: Runtime) -> None:
    answer = runtime.call("ADD", sysctl={"net.ipv4.nope": "1"})
    assert (answer["code"], "net/ipv4/nope" in answer["msg"], runtime.files) == (100, True, [])


def test_the_allow_list_decides(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list").write_text("^net\\.ipv4\\.conf\\.IFNAME\\.\n")
    monkeypatch.setattr(allowlist, "PATH", str(tmp_path / "list"))
    before = runtime.state
    for verb in ("ADD", "STATUS"):
        assert "ip_local_port_range" in runtime.call(verb, **ALL)["msg"]
    assert (runtime.state, runtime.files) == (before, [])
    keys: Keys = {"sysctl": {"net.ipv4.conf.IFNAME.log_martians": "1"}}
    runtime.add(**keys)
    assert [runtime.call(verb, **keys) for verb in ("STATUS", "CHECK", "DEL")] == [{}, {}, {}]


@pytest.mark.parametrize(
    ("wished", "words"),
    [
        ({"mtu": 1300}, 'mtu of "eth0" is 1454, expected 1300'),
        ({"promisc": False}, 'promisc of "eth0" is True, expected False'),
        ({"txQLen": 7}, 'txQLen of "eth0" is 500, expected 7'),
        ({"sysctl": {"net.ipv4.ip_local_port_range": "2000 3001"}}, "expected 2000 3001"),
        ({"sysctl": {"net.ipv4.nope": "1"}}, "net/ipv4/nope is absent"),
    ],
)
def test_check_names_what_differs(runtime: Runtime, wished: dict[str, Any], words: str) -> None:
    runtime.add(**ALL)
    assert runtime.call("CHECK") == {}
    answer = runtime.call("CHECK", **wished)
    assert (answer["code"], words in answer["msg"]) == (102, True), answer


def test_gc_takes_only_files_that_are_not_listed(runtime: Runtime) -> None:
    runtime.add(**ALL)
    changed = runtime.state
    listed = {"containerID": "c1", "ifname": "eth0"}
    strange: Keys = {"name": "other", "cni.dev/valid-attachments": []}
    stays: list[Keys] = [{}, {"cni.dev/valid-attachments": [listed]}, strange]
    for keys in stays:
        assert runtime.call("GC", **keys) == {}
        assert runtime.files == ["c1_eth0.json"]
    nobody: Keys = {"cni.dev/valid-attachments": None}
    assert runtime.call("GC", **nobody) == {}
    assert (runtime.files, runtime.state) == ([], changed)


@pytest.mark.parametrize(
    ("wished", "remedy"),
    [
        ({"mtu": 10}, "minmtu"),
        ({"mtu": 2**31 - 1}, "minmtu"),
        ({"mac": "01:00:5e:00:00:01"}, "of a group"),
        ({"sysctl": {"net.ipv4.nope": "1"}}, "no such parameter"),
        ({"sysctl": {"net.ipv4.conf.IFNAME.log_martians": "much"}}, "takes no such value"),
    ],
)
def test_what_the_kernel_refuses_has_a_remedy_that_fits(runtime: Runtime, wished: Keys, remedy: str) -> None:
    refused = runtime.call("ADD", **wished)
    assert (refused["code"], remedy in refused.get("remedy", "")) == (100, True), refused
