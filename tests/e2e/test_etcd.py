"""Claims about three pretend hosts on two underlay segments whose daemons share an etcd that stands outside:

- every container reaches every other one with its own address, and etcd holds one perfect lease a host, and nothing else
- an etcd restored from a backup that knows none of the hosts: each comes back with the subnet it had, and no packet is lost
"""

import re
from collections.abc import Iterator

import pytest

from tests.e2e.test_two_hosts import reached, steady_pings, tried
from tests.lab.hosts import Lab
from tests.lab.member import URL, Member

PREFIX = "/coreos.com/network"
CONFIG = '{"Network":"10.42.0.0/16","Backend":{"Type":"vxlan"}}'
OPTIONS = ("--store", "etcd", "--etcd-endpoints", URL, "--network", "")
KEY = re.compile(rf"{PREFIX}/subnets/10\.42\.[0-9]+\.0-24")
VALUE = re.compile(
    r'\{"PublicIP":"192\.168\.[12]\.1[12]","PublicIPv6":null,"BackendType":"vxlan",'
    r'"BackendData":\{"VNI":1,"VtepMAC":"[0-9a-f:]{17}"\}\}'
)


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
