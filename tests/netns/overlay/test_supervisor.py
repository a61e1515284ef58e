"""Claims about one daemon for several networks: each has its lease file, device, rules and guard; log, health and status name it; one
whose config is missing, wrong or in another's way does not stop the others, and comes when it is put right; a config
in which none can be kept ends the start with 2; the service manager hears READY once and heartbeats.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel import netns
from lease import file
from tests.lab import waiting
from tests.lab.etcd import Etcd
from tests.netns.overlay.conftest import Start
from tests.netns.overlay.daemons import Tulled
from tests.netns.spaces import Space

RED = {"Network": "10.42.0.0/16", "Backend": {"Type": "vxlan"}}
BLUE = {"Network": "10.43.0.0/16", "EnableNFTables": True, "Backend": {"Type": "vxlan", "VNI": 2}}
PEER = '{"PublicIP":"192.0.2.2","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":2,"VtepMAC":"02:00:00:00:00:77"}}'


class Stage:
    """A host with an etcd, and a daemon for the networks /red and /blue."""

    def __init__(self, host: Space, start: Start, place: Path) -> None:
        self.host, self._start, self.place = host, start, place
        self.etcd = Etcd(place / "etcd")
        with netns.inside(host.namespace):
            self.etcd.start()

    def put(self, key: str, value: object) -> None:
        with netns.inside(self.host.namespace):
            self.etcd.put(key, value if isinstance(value, str) else json.dumps(value))

    def begin(self, *flags: str) -> Tulled:
        both = [word for name in ("red", "blue") for word in ("--etcd-prefix", f"/{name}={self.place / name}.env")]
        healthy = ("--healthz-port", "8471", "--ip-masq")
        named = ("--store", "etcd", "--etcd-endpoints", self.etcd.url, "--iface", "eth0", *both, *healthy, *flags)
        return self._start(self.host, *named)

    def lease(self, name: str) -> file.Lease:
        return file.read(f"{self.place / name}.env")


@pytest.fixture
def stage(hosts: tuple[Space, Space], start: Start, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(hosts[0], start, tmp_path)
    yield made
    made.etcd.stop()


def test_each_network_has_lease_file_device_rules_and_guard(stage: Stage) -> None:
    stage.put("/red/config", RED)
    stage.put("/blue/config", BLUE)
    stage.put("/blue/subnets/10.43.9.0-24", PEER)
    daemon = stage.begin().ready()
    assert [str(stage.lease(name).networks[0]) for name in ("red", "blue")] == ["10.42.0.0/16", "10.43.0.0/16"]
    assert "10.43.9.0/24 via 10.43.9.0 dev flannel.2 onlink" in stage.host.run("ip", "route")
    assert stage.host.network.link("flannel.1")
    tables = stage.host.run("nft", "list", "tables")
    assert ("tulle-guard-1" in tables, "tulle-guard-2" in tables) == (True, True)
    assert "10.42.0.0/16" in stage.host.run("iptables", "-t", "nat", "-S", "FLANNEL-POSTRTG")
    assert "10.43.0.0/16" in stage.host.run("nft", "list", "table", "ip", "flannel-ipv4")
    code, body = daemon.health("/readyz")
    assert (code, body["networks"]["/blue"]["peers"], body["networks"]["/red"]["peers"]) == (200, 1, 0)
    assert all("network=/" in line for line in daemon.log.read_text().splitlines() if "lease acquired" in line)
    assert daemon.end() == 0


def test_the_rules_of_a_network_that_is_away_at_a_restart_stay(stage: Stage) -> None:
    stage.put("/red/config", RED)
    stage.put("/blue/config", BLUE)
    assert stage.begin().ready().end() == 0
    with netns.inside(stage.host.namespace):
        stage.etcd.ctl("del", "/blue/config")
    again = stage.begin()
    again.status(" 0 peers")
    stage.host.run("iptables", "-t", "nat", "-F", "FLANNEL-POSTRTG")
    waiting.until(lambda: "10.42.0.0" in stage.host.run("iptables", "-t", "nat", "-S"), "rules kept")
    assert "10.43.0.0/16" in stage.host.run("nft", "list", "table", "ip", "flannel-ipv4")


def test_a_network_without_config_does_not_stop_the_other_and_comes_later(stage: Stage) -> None:
    stage.put("/red/config", RED)
    daemon = stage.begin()
    waiting.until((stage.place / "red.env").exists, "the lease file of /red")
    waiting.until(lambda: daemon.health("/healthz")[1]["networks"]["/red"].get("subnet"), "/red at work")
    code, body = daemon.health("/readyz")
    assert (code, "/blue: waiting for the network config: etcd has no" in body["missing"][0]) == (503, True)
    stage.put("/blue/config", BLUE)
    daemon.ready()
    assert stage.lease("blue").subnet


def test_a_network_in_anothers_way_is_refused_by_both_names(stage: Stage) -> None:
    stage.put("/red/config", RED)
    daemon = stage.begin()
    waiting.until((stage.place / "red.env").exists, "the lease file of /red")
    stage.put("/blue/config", {**BLUE, "Backend": {"Type": "vxlan", "VNI": 1}})
    waiting.until(lambda: "both have VNI 1" in daemon.log.read_text(), "the clash is told")
    assert ("/blue and /red both have VNI 1" in daemon.log.read_text(), daemon.process.poll()) == (True, None)
    assert "both have VNI 1" in daemon.health("/readyz")[1]["missing"][0]
    daemon.ready()  # told without it, for the sake of the other


def test_when_none_can_be_kept_a_person_is_asked_for(stage: Stage) -> None:
    stage.put("/red/config", "{}")
    stage.put("/blue/config", "[]")
    assert stage.begin().finished() == 2


def test_the_watchdog_is_answered_and_the_end_announced(hosts: tuple[Space, Space], start: Start) -> None:
    daemon = start(hosts[0], within=("env", "WATCHDOG_USEC=400000")).ready()
    for _ in range(3):
        daemon.status("WATCHDOG=1")
    assert daemon.end() == 0
    daemon.status("STOPPING=1")
