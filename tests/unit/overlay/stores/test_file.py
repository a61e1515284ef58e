"""Claims: a hosts file gives every host its lease, derived; each mistake is refused with path, value and remedy; a host that is
not listed is told its own addresses, and may be added while the daemon runs; a file that cannot be opened just now may be later; a claim is verified, never written; a changed file is taken over, a broken one is
reported and the last good one kept.
"""

import asyncio
import errno
import json
import os
from collections.abc import Coroutine
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from typing import Any, TypeVar

import pytest

from overlay.config.network import NetworkConfig
from overlay.errors import Refused, StoreError, Unlisted
from overlay.stores import Snapshot
from overlay.stores import file as hosts_file
from overlay.stores.file import FileStore
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease

NETWORK = {"Network": "10.42.0.0/16", "Backend": {"Type": "vxlan"}}
DUAL = {**NETWORK, "EnableIPv6": True, "IPv6Network": "fd00:42::/48"}
ONE = {"PublicIP": "192.0.2.1", "Subnet": "10.42.1.0/24"}
TWO = {"PublicIP": "192.0.2.2", "Subnet": "10.42.2.0/24"}
A = Subnet(IPv4Network("10.42.1.0/24"))
T = TypeVar("T")


def derive(config: NetworkConfig, _: Subnet, public: IPv4Address, public_v6: IPv6Address | None) -> Attributes:
    return Attributes(public, public_v6, config.backend_type)


def write(path: Path, *hosts: dict[str, str], network: object = NETWORK) -> None:
    path.write_text(json.dumps({"Network": network, "Hosts": hosts}))


def opened(path: Path, reported: list[Refused] | None = None) -> FileStore:
    report = reported.append if reported is not None else lambda problem: pytest.fail(str(problem))
    return FileStore(str(path), derive=derive, addresses=lambda: ("192.0.2.9 (eth0)",), report=report)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "hosts.json", ONE, TWO)
    return tmp_path / "hosts.json"


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def test_every_host_has_its_derived_endless_lease(path: Path) -> None:
    leases = run(opened(path).leases()).leases
    assert leases[0] == Lease(A, Attributes(IPv4Address("192.0.2.1"), None, "vxlan"), 1, None)
    assert [lease.subnet.key for lease in leases] == ["10.42.1.0-24", "10.42.2.0-24"]


def test_the_network_config_is_flannels(path: Path) -> None:
    assert json.loads(run(opened(path).read_config())) == NETWORK


MISTAKES = [
    ({"Hosts": []}, "Network is missing; add"),
    ({"Network": "10.42.0.0/16"}, "Network is .*not an object"),
    ({"Network": {"Network": "10.42.0.0/16"}}, "Backend is missing"),
    ({"Network": NETWORK, "Hosts": {}}, "Hosts is {}: not a list"),
    ({"Network": NETWORK, "Hosts": [ONE, {**TWO, "PublicIP": "nine"}]}, r'Hosts\[1\].PublicIP is "nine": not an IPv4'),
    ({"Network": NETWORK, "Hosts": [{**ONE, "PublicIP": "127.0.0.1"}]}, "no address other hosts can send to"),
    ({"Network": NETWORK, "Hosts": [{"Subnet": "10.42.1.0/24"}]}, r"Hosts\[0\].PublicIP is null"),
    ({"Network": NETWORK, "Hosts": [{**ONE, "Subnet": "10.9.1.0/24"}]}, r"not a subnet 10.42.0.0/16 gives out; write a /24"),
    ({"Network": NETWORK, "Hosts": [{**ONE, "Subnet": "10.42.1.0/25"}]}, "not a subnet 10.42.0.0/16 gives out"),
    ({"Network": NETWORK, "Hosts": [{**ONE, "Subnet": "10.42.0.0/24"}]}, "from 10.42.1.0 to 10.42.255.0"),
    ({"Network": NETWORK, "Hosts": [ONE, {**TWO, "PublicIP": "192.0.2.1"}]}, r"Hosts\[1\].PublicIP .*already that of Hosts\[0\]"),
    ({"Network": NETWORK, "Hosts": [ONE, {**TWO, "Subnet": "10.42.1.0/24"}]}, r"Hosts\[1\].Subnet .*already that of Hosts\[0\]"),
    ({"Network": DUAL, "Hosts": [ONE]}, "PublicIPv6 is null: missing in a dual-stack network"),
    ({"Network": DUAL, "Hosts": [{**ONE, "PublicIPv6": "2001:db8::1"}]}, "IPv6Subnet is null.*fd00:42::/48"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "problem"), MISTAKES)
def test_a_mistake_is_refused_with_path_and_remedy(document: object, problem: str) -> None:
    with pytest.raises(Refused, match=problem) as refused:
        hosts_file.parse(json.dumps(document), "hosts.json")
    assert str(refused.value).startswith("hosts.json: ")
    assert refused.value.remedy


def test_a_dual_stack_host_has_both_subnets() -> None:
    host = {**ONE, "PublicIPv6": "2001:db8::1", "IPv6Subnet": "fd00:42:0:7::/64"}
    parsed = hosts_file.parse(json.dumps({"Network": DUAL, "Hosts": [host]}), "x")
    assert parsed.hosts[0].subnet.key == "10.42.1.0-24&fd00:42:0:7::-64"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"absent\.json: cannot be read: No such file"):
        opened(tmp_path / "absent.json")


def test_a_host_that_is_not_listed_is_told_its_own_addresses(path: Path) -> None:
    with pytest.raises(Unlisted) as refused:
        run(opened(path).create(A, Attributes(IPv4Address("192.0.2.9"))))
    assert "no host has the PublicIP 192.0.2.9 (listed: 192.0.2.1, 192.0.2.2; this host has: 192.0.2.9 (eth0))" in str(
        refused.value
    )


def test_a_host_that_is_added_to_the_file_is_known_at_once(path: Path) -> None:
    store = opened(path)
    write(path, ONE, TWO, {"PublicIP": "192.0.2.9", "Subnet": "10.42.9.0/24"})
    assert IPv4Address("192.0.2.9") in store.known


def test_a_file_that_cannot_be_opened_just_now_is_a_store_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(StoreError, match="cannot be read: Too many open files"):
        opened(path)


def test_a_claim_is_verified_never_written(path: Path) -> None:
    store, before = opened(path), path.read_bytes()
    lease = run(store.leases()).leases[0]
    assert run(store.replace(lease, lease.attributes)) == lease
    assert run(store.replace(lease, Attributes())) is None
    assert path.read_bytes() == before


def test_a_lease_that_is_not_offered_can_only_be_corrected_by_hand(path: Path) -> None:
    store = opened(path)
    with pytest.raises(Refused, match="correct the file on every host"):
        run(store.remove(run(store.leases()).leases[0]))


async def next_snapshot(store: FileStore) -> Snapshot:
    update = await anext(store.watch((await store.leases()).cursor))
    assert isinstance(update, Snapshot)
    return update


def test_a_changed_file_is_taken_over(path: Path) -> None:
    store = opened(path)
    write(path, ONE)
    assert [lease.subnet for lease in run(next_snapshot(store)).leases] == [A]


@pytest.mark.parametrize("text", ["", "{", '{"Network": {}}'])
def test_a_broken_file_is_reported_once_and_the_last_good_one_kept(path: Path, text: str) -> None:
    reported: list[Refused] = []
    store = opened(path, reported)
    path.write_text(text)
    store._refresh()
    store._refresh()
    assert (len(run(store.leases()).leases), len(reported)) == (2, 1)


def test_a_changed_network_needs_a_restart(path: Path) -> None:
    reported: list[Refused] = []
    store = opened(path, reported)
    write(path, {**ONE, "Subnet": "10.43.1.0/24"}, network={**NETWORK, "Network": "10.43.0.0/16"})
    store._refresh()
    assert "restart tulled" in str(reported[0])
    assert json.loads(run(store.read_config())) == NETWORK


def test_what_is_no_regular_file_is_refused_at_once(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(Refused, match="it is no regular file; put the hosts file there"):
        opened(path)
