"""The program loopback on the real kernel (docs/reference/cni.md 4.5, and the reference's own suite in docs/reference/cni.md 5).

Claims: in all seven versions ADD brings lo up and prints an object, DEL takes it down; CNI_IFNAME and CNI_ARGS are never
looked at, not even malformed ones; an address that is no loopback one is refused and the device left alone; DEL needs no
namespace; an earlier result is handed on untouched; CHECK tells up from down.
"""

import io
import json
import socket
from collections.abc import Callable
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from cni import skel
from cni.versions import SUPPORTED
from kernel.netlink.requests import AddAddress, SetLink
from main.loopback.program import PROGRAM
from tests.netns.spaces import Space


def call(verb: str, netns: str, version: str = "1.0.0", **keys: Any) -> Any:
    """Run one verb; return its document, or None for none. An error carries `code`."""
    document = {"cniVersion": version, "name": "cni-loopback", "type": "loopback", **keys}
    environ = {"CNI_COMMAND": verb, "CNI_CONTAINERID": "dummy", "CNI_NETNS": netns, "CNI_IFNAME": "anything0"}
    environ |= {"CNI_ARGS": "none", "CNI_PATH": "none"}
    out = io.StringIO()
    stdin = io.BytesIO(json.dumps(document).encode())
    skel.run(PROGRAM, environ=environ, stdin=stdin, stdout=out, stderr=io.StringIO())
    return json.loads(out.getvalue()) if out.getvalue() else None


def is_up(container: Space) -> bool:
    link = container.network.link("lo")
    assert link is not None
    return link.up


@pytest.fixture
def asleep(container: Space) -> Space:
    """A container as a runtime hands it over: its loopback still down."""
    container.network.apply(SetLink("lo", up=False))
    return container


@pytest.mark.parametrize("version", SUPPORTED)
def test_add_brings_lo_up_and_del_takes_it_down(asleep: Space, version: str) -> None:
    answer = call("ADD", asleep.path, version)
    assert answer["cniVersion"] == version
    assert is_up(asleep)
    assert call("DEL", asleep.path, version) is None
    assert not is_up(asleep)


def test_result_names_the_device_and_what_the_kernel_put_on_it(asleep: Space) -> None:
    six = [{"address": "::1/128", "interface": 0}] if socket.has_ipv6 and Path("/proc/net/if_inet6").exists() else []
    assert call("ADD", asleep.path) == {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": asleep.path}],
        "ips": [{"address": "127.0.0.1/8", "interface": 0}, *six],
    }


def test_lo_carries_traffic_after_add(asleep: Space) -> None:
    call("ADD", asleep.path)
    ping = "import socket as s; a = s.create_server(('127.0.0.1', 0)); s.create_connection(a.getsockname(), 5)"
    asleep.run("python3", "-c", ping)


def test_add_twice_is_fine(asleep: Space) -> None:
    assert call("ADD", asleep.path) == call("ADD", asleep.path)


def test_non_loopback_address_is_refused_and_the_device_left_alone(asleep: Space) -> None:
    asleep.network.apply(AddAddress(asleep.index("lo"), ip_interface("10.7.0.1/32"), nodad=True))
    answer = call("ADD", asleep.path)
    assert answer["msg"] == 'loopback interface found with non-loopback address "10.7.0.1/32"'
    assert not is_up(asleep)


def test_earlier_result_is_handed_on(asleep: Space) -> None:
    earlier = {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/24"}], "vendor": {"kept": True}}
    assert call("ADD", asleep.path, prevResult=earlier) == earlier
    assert is_up(asleep)


def test_check_tells_up_from_down(asleep: Space) -> None:
    assert call("CHECK", asleep.path)["code"] == 102
    call("ADD", asleep.path)
    assert call("CHECK", asleep.path) is None


@pytest.mark.parametrize("netns", ["", "/run/netns/vanished"])
def test_del_without_the_namespace_is_success(netns: str) -> None:
    assert call("DEL", netns) is None


def test_del_with_a_file_in_the_namespaces_place_is_success(tmp_path: Path) -> None:
    (tmp_path / "ns").touch()
    assert call("DEL", str(tmp_path / "ns")) is None


@pytest.mark.parametrize("verb", ["ADD", "CHECK"])
def test_vanished_namespace_is_refused_with_its_path(verb: str) -> None:
    answer = call(verb, "/run/netns/vanished")
    assert (answer["code"], answer["msg"].split(":")[0]) == (8, 'failed to open netns "/run/netns/vanished"')


def test_del_twice_is_fine(asleep: Space) -> None:
    assert (call("DEL", asleep.path), call("DEL", asleep.path)) == (None, None)


def test_two_containers_do_not_touch_each_other(make_space: Callable[[str], Space]) -> None:
    one, other = make_space("one"), make_space("other")
    call("DEL", one.path)
    assert (is_up(one), is_up(other)) == (False, True)
