"""Claims: how a start that cannot work ends, with exit code and sentence: 2 for what a person must correct, 1 for what may pass; nothing
in the kernel is changed by it. A hostile store does not stop a daemon; no free file descriptor ends a start with 1; files have the modes
that are meant whatever the umask, and no secret is where others read; a variable that nothing reads is warned of without its value.
"""

import json
import signal
import sqlite3
import stat
from pathlib import Path

import pytest

from kernel.netlink.requests import DeleteLink
from tests.lab import waiting
from tests.netns.overlay.conftest import Start
from tests.netns.overlay.daemons import DEVICE
from tests.netns.spaces import Space

REFUSED = [
    (("--store", "sqlite:{}/a.db", "--network", "10.42.0.0/29", "--iface", "eth0"), 2, "too small for four subnets"),
    (("--store", "sqlite:{}/a.db", "--network", "nonsense", "--iface", "eth0"), 2, "not an IPv4 network"),
    (("--store", "sqlite:{}/a.db", "--iface", "eth0"), 2, "give --network CIDR or --net-config FILE"),
    (("--store", "sqlite:{}", "--network", "10.42.0.0/16"), 2, "cannot be opened as the store"),
    (("--store", "sqlite:{}/a.db", "--net-config", "{}/absent.json"), 2, "absent.json: cannot be read"),
    (("--store", "file:{}/absent.json"), 2, "absent.json: cannot be read: No such file"),
    (("--store", "nfs:x"), 2, "write etcd, sqlite:PATH or file:PATH"),
]


@pytest.mark.parametrize(("flags", "code", "sentence"), REFUSED)
def test_a_start_that_cannot_work_says_why_and_changes_nothing(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path, flags: tuple[str, ...], code: int, sentence: str
) -> None:
    daemon = start(hosts[0], *(flag.replace("{}", str(tmp_path)) for flag in flags))
    assert daemon.finished() == code
    assert sentence in daemon.log.read_text().replace('\\"', '"')
    assert "Traceback" not in daemon.log.read_text()
    assert (hosts[0].network.link(DEVICE), daemon.lease_file.exists()) == (None, False)


def test_a_differing_network_is_refused_with_both_values(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path
) -> None:
    start(hosts[0]).ready()
    store = f"sqlite:{tmp_path / 'net.db'}"
    other = start(hosts[1], "--store", store, "--network", "10.99.0.0/16", "--vni", "7", "--iface", "eth0")
    assert other.finished() == 2
    said = other.log.read_text()
    assert "Network is 10.99.0.0/16 here but 10.42.0.0/16 in the store" in said
    assert "Backend.VNI is 7 here but 1 in the store" in said


def test_a_later_start_needs_no_network(hosts: tuple[Space, Space], start: Start, tmp_path: Path) -> None:
    start(hosts[0]).ready()
    start(hosts[1], "--store", f"sqlite:{tmp_path / 'net.db'}", "--iface", "eth0").ready()


def test_a_second_daemon_on_a_lease_file_is_told_of_the_first(hosts: tuple[Space, Space], start: Start) -> None:
    first = start(hosts[0]).ready()
    second = start(hosts[0])
    assert second.finished() == 1
    assert f"kept by another tulled (pid {first.process.pid}:" in second.log.read_text()


def test_an_interrupt_ends_a_daemon_well(hosts: tuple[Space, Space], start: Start) -> None:
    assert start(hosts[0]).ready().end(signal.SIGINT) == 0


def test_a_hostile_store_does_not_stop_a_daemon(hosts: tuple[Space, Space], start: Start, tmp_path: Path) -> None:
    one = start(hosts[0]).ready()
    base = sqlite3.connect(tmp_path / "net.db", timeout=5)
    entries = [
        ("0.0.0.0-0", '{"PublicIP":"192.0.2.66","BackendType":"vxlan","BackendData":{"VtepMAC":"02:00:00:00:00:66"}}'),
        ("10.42.250.0-24", "\x00"),
        ("10.42.251.0-24", '{"PublicIP":"255.255.255.255","BackendType":"vxlan","BackendData":[[[]]]}'),
        ("../../etc", "[" * 10_000),
    ]
    with base:
        base.execute("UPDATE meta SET value = 50 WHERE name = 'revision'")
        base.executemany("INSERT INTO leases VALUES (?, ?, 50, NULL, NULL)", entries)
    base.close()
    waiting.until(lambda: "entry left out" in one.log.read_text(), "hostile entries reported")
    hosts[0].network.apply(DeleteLink(DEVICE))
    waiting.until(lambda: hosts[0].network.link(DEVICE), "still repairing", namespace=hosts[0].namespace)
    assert hosts[0].run("ip", "route", "show", "dev", DEVICE) == ""


def test_a_variable_that_nothing_reads_is_warned_of_without_its_value(hosts: tuple[Space, Space], start: Start) -> None:
    daemon = start(hosts[0], within=("env", "TULLED_ETCD_PASWORD=hunter2")).ready()
    said = daemon.log.read_text()
    assert 'variable=TULLED_ETCD_PASWORD remedy="did you mean TULLED_ETCD_PASSWORD?"' in said
    assert "hunter2" not in said


@pytest.mark.parametrize("files", [8, 10, 11, 12])
def test_a_start_without_a_free_file_descriptor_may_be_tried_again(
    hosts: tuple[Space, Space], start: Start, files: int
) -> None:
    daemon = start(hosts[0], within=("prlimit", f"--nofile={files}:{files}"))
    assert daemon.finished() == 1
    said = daemon.log.read_text()
    assert ("open files" in said or "unable to open database file" in said, "Traceback" in said) == (True, False)


@pytest.mark.parametrize("umask", ["0000", "0077"])
def test_files_have_the_modes_that_are_meant_whatever_the_umask(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path, umask: str
) -> None:
    key = tmp_path / "keys" / "wireguard.key"
    network = {"Network": "10.42.0.0/16", "Backend": {"Type": "wireguard", "PSK": f"{'A' * 43}="}}
    (tmp_path / "net.json").write_text(json.dumps(network))
    place = tmp_path / "new" / "net.db"
    flags = ("--store", f"sqlite:{place}", "--net-config", str(tmp_path / "net.json"), "--iface", "eth0")
    # a wireguard-go has its socket at a path of its own here: others on this machine have the same device name
    apart = "mkdir -p /run/wireguard && mount -t tmpfs none /run/wireguard"
    within = ("unshare", "--mount", "sh", "-c", f'{apart} && umask {umask} && exec "$@"', "sh")
    daemon = start(hosts[0], *flags, "--wireguard-key-file", str(key), within=within).ready()
    record = Path(f"{daemon.lease_file}.made")
    waiting.until(record.exists, "the record")
    modes = {
        one.name: stat.S_IMODE(one.stat().st_mode) for one in (key, daemon.lease_file, record, *place.parent.iterdir())
    }
    public = {daemon.lease_file.name: 0o644, record.name: 0o644}
    assert modes == {**dict.fromkeys(modes, 0o600), key.name: 0o400, **public}
    assert not any("A" * 43 in one.read_text() for one in (daemon.lease_file, record, daemon.log))
    hosts[0].network.attempt([DeleteLink("flannel-wg")])
