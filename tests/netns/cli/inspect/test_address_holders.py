"""Claims about who holds addresses of a subnet, on a real kernel:

- links of the host do, and containers behind a veth, with the words that find them
- an address that two containers have is told twice; one outside the subnet not at all
- a namespace that is not wired to this host is not of it, whatever its addresses
"""

from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from cli.inspect import address_holders
from kernel import netns
from kernel.netlink.requests import SetLink
from tests.netns.spaces import Space, cable

SUBNET = (IPv4Network("10.42.7.0/24"),)
Maker = Callable[[str], Space]


def found(host: Space, *spaces: Space, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    monkeypatch.setattr(address_holders, "_paths", lambda: iter([space.path for space in spaces]))
    with netns.inside(host.namespace):
        held = address_holders.find(host.network.links(), host.network.addresses(), SUBNET)
    return [(str(one.address), one.link.partition(" (")[0]) for one in held]


def test_an_address_in_two_containers_is_told_twice(make_space: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    host, one, two = make_space("host"), make_space("one"), make_space("two")
    cable(host, "v1=10.42.7.1/24", one, "eth0=10.42.7.2/24")
    two.run("ip", "link", "add", "unused", "type", "bridge")  # a host gives each container other numbers
    cable(host, "v2", two, "eth0=10.42.7.2/24")
    host.network.apply(SetLink("v1", alias="net/id/eth0"))
    assert found(host, one, two, host, monkeypatch=monkeypatch) == [
        ("10.42.7.1", "v1"),
        ("10.42.7.2", "eth0 behind v1 of net/id/eth0"),
        ("10.42.7.2", "eth0 behind v2"),
    ]


def test_another_address_is_not_the_subnets(make_space: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    host, one = make_space("host"), make_space("one")
    cable(host, "v1", one, "eth0=192.0.2.2/24")
    assert found(host, one, monkeypatch=monkeypatch) == []


def test_a_namespace_that_is_not_wired_here_is_another_hosts(
    make_space: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, one, stranger, far = (make_space(name) for name in ("host", "one", "stranger", "far"))
    cable(host, "v1", one, "eth0")
    far.run("ip", "link", "add", "unused", "type", "bridge")
    cable(far, "w1", stranger, "eth0=10.42.7.2/24")
    assert found(host, one, stranger, monkeypatch=monkeypatch) == []


def test_namespaces_that_all_fit_one_veth_prove_nothing(make_space: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    host, one, far, other = (make_space(name) for name in ("host", "one", "far", "other"))
    cable(host, "v1", one, "eth0=10.42.7.2/24")
    cable(far, "v1", other, "eth0=10.42.7.3/24")
    assert found(host, one, other, monkeypatch=monkeypatch) == []


def test_every_namespace_with_a_process_is_looked_at_once() -> None:
    found = [path for path in address_holders._paths() if path.startswith("/proc/")]
    assert len({Path(path).readlink() for path in found}) == len(found)
    assert Path("/proc/self/ns/net").readlink() in {Path(path).readlink() for path in found}
