"""Claims about three pretend hosts on two underlay segments whose daemons share an etcd that stands outside:

- every container reaches every other one with its own address, and etcd holds one perfect lease a host, and nothing else
- etcd killed for more than twenty seconds costs no packet, the daemons stay and start even again meanwhile; once it is back a lease
  that another host put meanwhile is programmed
- an etcd restored from a backup that knows none of the hosts: each comes back with the subnet it had, and no packet is lost
"""

import json
import os
import re
import signal
import subprocess  # noqa: TC003 - the type of the one job
from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e.test_two_hosts import reached, steady_pings, tried
from tests.lab import underlay
from tests.lab.hosts import Host, Lab
from tests.lab.world import Place, only_child, tool

PREFIX = "/coreos.com/network"
URL = f"http://{underlay.OUTSIDE.ip}:2379"
CONFIG = '{"Network":"10.42.0.0/16","Backend":{"Type":"vxlan"}}'
OPTIONS = ("--store", "etcd", "--etcd-endpoints", URL, "--network", "")
KEY = re.compile(rf"{PREFIX}/subnets/10\.42\.[0-9]+\.0-24")
VALUE = re.compile(
    r'\{"PublicIP":"192\.168\.[12]\.1[12]","PublicIPv6":null,"BackendType":"vxlan",'
    r'"BackendData":\{"VNI":1,"VtepMAC":"[0-9a-f:]{17}"\}\}'
)


class Member:
    """The one etcd, outside."""

    def __init__(self, lab: Lab) -> None:
        self.place: Place = lab.outside
        self.data, self.backup = lab.workdir / "etcd", lab.workdir / "etcd-backup"
        self._job: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and return when it answers."""
        peer = "http://127.0.0.1:2380"
        flags = ["--name=lab", f"--data-dir={self.data}", f"--listen-client-urls={URL},http://127.0.0.1:2379"]
        flags += [f"--advertise-client-urls={URL}", f"--listen-peer-urls={peer}", f"--initial-cluster=lab={peer}"]
        flags += [f"--initial-advertise-peer-urls={peer}"]
        self._job = self.place.start(tool("etcd"), *flags)
        self.ctl("--dial-timeout=20s", "--command-timeout=20s", "get", "x")

    def kill(self) -> None:
        """Kill the process itself, not the words that led to it, and wait for its end."""
        assert self._job is not None
        os.kill(only_child(self._job.pid), signal.SIGKILL)
        self._job.wait(10)

    def copy(self, source: str, target: str) -> None:
        """Copy the data of the stopped member."""
        self.place.run("sh", "-c", f"rm -rf {target} && cp -a {source} {target}")

    def ctl(self, *words: str, stdin: str = "") -> str:
        """Run etcdctl beside it."""
        environment = {"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": "http://127.0.0.1:2379"}
        return self.place.run(tool("etcdctl"), *words, stdin=stdin, env=environment)

    def entries(self) -> dict[str, str]:
        """Return all keys with their values."""
        lines = self.ctl("get", "", "--from-key").splitlines()
        return dict(zip(lines[::2], lines[1::2], strict=True))


@pytest.fixture(scope="module")
def member() -> Iterator[tuple[Lab, Member]]:
    with Lab({"host-a": 1, "host-b": 1, "host-c": 2}) as lab:
        etcd = Member(lab)
        etcd.start()
        etcd.ctl("put", f"{PREFIX}/config", CONFIG)
        etcd.kill()
        etcd.copy(str(etcd.data), str(etcd.backup))
        etcd.start()
        lab.start_daemons(*OPTIONS)
        for host in lab.hosts.values():
            host.add(host.name[-1]).serve()
        yield lab, etcd


def subnets(lab: Lab) -> list[str]:
    return [host.lease()["FLANNEL_SUBNET"] for host in lab.hosts.values()]


def routed(host: Host, network: str) -> bool:
    return any(route["dst"] == network for route in host.show("route", "show"))


def test_every_pair_is_reached_and_etcd_holds_one_perfect_lease_a_host(member: tuple[Lab, Member]) -> None:
    lab, etcd = member
    containers = [container for host in lab.hosts.values() for container in host.containers.values()]
    for one in containers:
        for other in containers:
            if one is not other:
                assert tried(one.place, other.address) == reached(other.address, one.address)

    entries = etcd.entries()
    assert entries.pop(f"{PREFIX}/config") == CONFIG
    assert len(entries) == 3
    assert all(KEY.fullmatch(key) and VALUE.fullmatch(value) for key, value in entries.items()), entries


def test_an_outage_costs_no_packet_and_what_changed_after_it_is_programmed(member: tuple[Lab, Member]) -> None:
    lab, etcd = member
    before = subnets(lab)
    first, second = lab.hosts["host-a"].containers["a"], lab.hosts["host-c"].containers["c"]
    restarted = lab.hosts["host-b"]
    assert restarted.daemon is not None

    with steady_pings(first, second.address, 440) as summary:  # 22 seconds
        etcd.kill()
        restarted.daemon.end(signal.SIGTERM)
        restarted.start_daemon(*OPTIONS)
        said = summary()
        etcd.start()

    assert " 0% packet loss" in said
    assert restarted.daemon is not None
    restarted.daemon.wait_ready()
    put_stranger(etcd)
    for host in lab.hosts.values():
        host.wait(partial(routed, host, "10.42.254.0/24"), "the route to a host that joined after the outage", 20)
    etcd.ctl("del", f"{PREFIX}/subnets/10.42.254.0-24")
    assert subnets(lab) == before


def put_stranger(etcd: Member) -> None:
    value = {"PublicIP": "192.168.1.99", "PublicIPv6": None, "BackendType": "vxlan"}
    value["BackendData"] = {"VNI": 1, "VtepMAC": "02:00:00:00:00:99"}  # type: ignore[assignment]
    etcd.ctl("put", "--", f"{PREFIX}/subnets/10.42.254.0-24", stdin=json.dumps(value))


def test_a_restored_backup_costs_no_packet_and_every_host_comes_back(member: tuple[Lab, Member]) -> None:
    lab, etcd = member
    before = subnets(lab)
    first, second = lab.hosts["host-a"].containers["a"], lab.hosts["host-c"].containers["c"]

    with steady_pings(first, second.address, 300) as summary:
        etcd.kill()
        etcd.copy(str(etcd.backup), str(etcd.data))
        etcd.start()
        lab.hosts["host-a"].wait(lambda: len(etcd.entries()) == 4, "three leases in the restored etcd", 30)
        said = summary()

    assert " 0% packet loss" in said
    assert subnets(lab) == before
    assert all(lab.joined(host) for host in lab.hosts.values())
