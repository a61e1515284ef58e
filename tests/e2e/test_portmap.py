"""The built portmap as runtimes start it, many at once, in a private namespace. Claims:

- 200 containers with 5 ports each come and go by 8 processes at once, half of them with each backend: every ADD and DEL succeeds,
  no lock times out, what stands in between is exactly theirs, and nothing is left
- of many who want the same port at once exactly one gets it
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from kernel import netns
from kernel.netlink.requests import AddAddress, AddBridge, SetLink
from tests.netns.spaces import Space

CONTAINERS, PORTS, PROCESSES = 200, 5, 8
BACKENDS = ("iptables", "nftables")


@pytest.fixture
def host() -> Iterator[Space]:
    if os.geteuid() != 0:
        reason = "needs root (CAP_SYS_ADMIN) to make network namespaces"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    space = Space("host")
    space.network.apply(AddBridge("br0"))
    space.network.apply(SetLink("br0", up=True))
    space.network.apply(AddAddress(space.index("br0"), ip_interface("10.1.255.254/16")))
    yield space
    space.close()


@pytest.fixture
def call(host: Space, program: Callable[[str], Path], tmp_path: Path) -> Callable[..., Any]:
    def run(verb: str, number: int, backend: str, ports: range) -> Any:
        document = {
            "cniVersion": "1.0.0",
            "name": "net",
            "type": "portmap",
            "backend": backend,
            "dataDir": str(tmp_path / "memory"),
            "prevResult": {"cniVersion": "1.0.0", "ips": [{"address": f"10.1.{number >> 8}.{number & 255}/16"}]},
            "runtimeConfig": {
                "portMappings": [{"hostPort": port, "containerPort": 80, "protocol": "tcp"} for port in ports]
            },
        }
        environ = {"CNI_COMMAND": verb, "CNI_CONTAINERID": f"c{number}", "CNI_NETNS": "/run/netns/gone"}
        environ |= {"CNI_IFNAME": "eth0", "CNI_PATH": "/none"}
        with netns.inside(host.namespace):
            child = subprocess.Popen(
                [program("portmap")],
                env=environ,
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        out, _ = child.communicate(json.dumps(document), timeout=60)
        return json.loads(out or "{}")

    return run


def published(host: Space, backend: str) -> set[int]:
    """The host ports that rules of a backend send on."""
    if backend == "nftables":
        words = [line.split() for line in host.run("nft", "list", "table", "ip", "cni_hostport").splitlines()]
        return {int(line[2]) for line in words if line[1:2] == ["dport"]}
    rules = [line.split() for line in host.run("iptables", "-t", "nat", "-S").splitlines()]
    return {int(rule[rule.index("--dport") + 1]) for rule in rules if "DNAT" in rule}


def test_two_hundred_containers_come_and_go_and_nothing_is_left(
    host: Space, call: Callable[..., Any], tmp_path: Path
) -> None:
    numbers = range(1, CONTAINERS + 1)

    def ports(number: int) -> range:
        return range(10_000 + number * PORTS, 10_000 + (number + 1) * PORTS)

    def each(verb: str) -> list[Any]:
        with ThreadPoolExecutor(PROCESSES) as workers:
            return list(workers.map(lambda number: call(verb, number, BACKENDS[number % 2], ports(number)), numbers))

    assert [answer for answer in each("ADD") if "code" in answer] == []
    for parity, backend in enumerate(BACKENDS):
        assert published(host, backend) == {
            port for number in numbers if number % 2 == parity for port in ports(number)
        }
    assert [answer for answer in each("DEL") if answer] == []
    assert [published(host, backend) for backend in BACKENDS] == [set(), set()]
    assert "CNI-DN-" not in host.run("iptables", "-t", "nat", "-S")
    assert "comment" not in host.run("nft", "-j", "list", "table", "ip", "cni_hostport")
    assert list((tmp_path / "memory").iterdir()) == []


def test_one_of_many_gets_a_port(host: Space, call: Callable[..., Any]) -> None:
    with ThreadPoolExecutor(PROCESSES) as workers:
        answers = list(
            workers.map(lambda number: call("ADD", number, BACKENDS[number % 2], range(80, 81)), range(1, 17))
        )
    codes = [answer.get("code", 0) for answer in answers]
    assert sorted(codes) == [0] + [103] * 15, answers
