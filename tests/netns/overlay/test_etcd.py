"""Claims about a daemon on a real etcd: it waits for an etcd that is away and for a config, says so once and names no password; a lease
that another host wrote over is withdrawn and another subnet taken; one that vanished is taken back.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernel import netns
from tests.lab import waiting
from tests.lab.etcd import Etcd
from tests.netns.overlay.conftest import Start
from tests.netns.overlay.daemons import Tulled
from tests.netns.spaces import Space

CONFIG = '{"Network":"10.42.0.0/16","Backend":{"Type":"vxlan"}}'
PREFIX = "/coreos.com/network"
THEIRS = '{"PublicIP":"192.0.2.99","PublicIPv6":null}'


@pytest.fixture
def etcd(hosts: tuple[Space, Space], tmp_path: Path) -> Iterator[Etcd]:
    """A member to be started in the namespace of the first host."""
    member = Etcd(tmp_path / "etcd")
    yield member
    member.stop()


@pytest.fixture
def operator(hosts: tuple[Space, Space], etcd: Etcd) -> Callable[..., None]:
    """Run etcdctl beside the member."""

    def run(*words: str, stdin: str = "") -> None:
        with netns.inside(hosts[0].namespace):
            etcd.ctl(*words, stdin=stdin.encode())

    return run


def begin(start: Start, host: Space, etcd: Etcd, *flags: str) -> Tulled:
    return start(host, "--store", "etcd", "--etcd-endpoints", etcd.url, "--iface", "eth0", *flags)


def test_a_daemon_waits_for_etcd_and_config_and_names_no_password(
    hosts: tuple[Space, Space], start: Start, etcd: Etcd, operator: Callable[..., None]
) -> None:
    daemon = begin(start, hosts[0], etcd, "--etcd-username", "me", "--etcd-password", "s3cret-word")
    waiting.until(lambda: "connection refused" in daemon.log.read_text(), "the daemon says that etcd is away")
    with netns.inside(hosts[0].namespace):
        etcd.start()
    waiting.until(lambda: "put one: etcdctl put" in daemon.log.read_text(), "it says that there is no config")
    operator("put", f"{PREFIX}/config", stdin=CONFIG)
    daemon.ready()
    log = daemon.log.read_text()
    assert (log.count("connection refused"), log.count("etcdctl put"), "s3cret" in log) == (1, 1, False)


def test_a_lease_in_other_hands_is_given_up_and_a_vanished_one_taken_back(
    hosts: tuple[Space, Space], start: Start, etcd: Etcd, operator: Callable[..., None]
) -> None:
    with netns.inside(hosts[0].namespace):
        etcd.start()
    operator("put", f"{PREFIX}/config", stdin=CONFIG)
    daemon = begin(start, hosts[0], etcd).ready()
    lost = daemon.subnet
    operator("put", "--", key_of(lost), stdin=THEIRS)
    waiting.until(lambda: daemon.moved_from(lost), "the lease file has another subnet")
    assert "lease withdrawn" in daemon.log.read_text()
    kept = daemon.subnet
    operator("del", key_of(kept))
    with netns.inside(hosts[0].namespace):
        waiting.until(lambda: etcd.get(key_of(kept)), "the vanished lease is back")
        assert etcd.get(key_of(lost)).decode() == THEIRS
    assert daemon.subnet == kept


def key_of(subnet: object) -> str:
    return f"{PREFIX}/subnets/{str(subnet).replace('/', '-')}"
