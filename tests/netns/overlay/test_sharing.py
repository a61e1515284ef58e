"""Claims about two daemons of two networks on one host: both networks' rules stand, and then nobody changes anything any more; with two
tulleds and with a real flanneld beside tulled, in every pairing of iptables and nftables; what was flushed comes back for both; a program
that goes on changing rules is named in the log and in the figures.
"""

import json
import select
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kernel import netns
from kernel.firewall.nft_monitor import NftEvents
from tests.lab import reference, waiting
from tests.lab.etcd import Etcd
from tests.netns.overlay.conftest import Start
from tests.netns.overlay.daemons import Tulled
from tests.netns.spaces import Space

RED, BLUE = "10.50.0.0/16", "10.60.0.0/16"
QUIET = 3.0
"""Seconds without a change after which there is peace: three times what either of the two waits between two looks."""
MODES = {"iptables": False, "nftables": True}


def config(network: str, vni: int, *, native: bool) -> str:
    return json.dumps({"Network": network, "EnableNFTables": native, "Backend": {"Type": "vxlan", "VNI": vni}})


class Stage:
    """A host with an etcd for the networks /red and /blue."""

    def __init__(self, host: Space, start: Start, place: Path) -> None:
        self.host, self._start, self.place = host, start, place
        self.etcd = Etcd(place / "etcd")
        self.ending = ExitStack()
        self.ending.callback(self.etcd.stop)
        with netns.inside(host.namespace):
            self.etcd.start()

    def put(self, red: bool, blue: bool) -> None:
        with netns.inside(self.host.namespace):
            self.etcd.put("/red/config", config(RED, 1, native=red))
            self.etcd.put("/blue/config", config(BLUE, 2, native=blue))

    def _flags(self, name: str) -> tuple[str, ...]:
        etcd = (f"--etcd-endpoints={self.etcd.url}", f"--etcd-prefix=/{name}")
        return (*etcd, f"--subnet-file={self.place / name}.env", "--iface=eth0", "--ip-masq", "--iptables-resync=1")

    def tulled(self, name: str, *more: str) -> Tulled:
        (self.place / name).mkdir()
        daemon = Tulled(self.host, self.place / name, "--store", "etcd", *self._flags(name), *more)
        self.ending.callback(daemon.close)
        return daemon.ready()

    def flanneld(self, name: str) -> None:
        program = reference.program("flanneld")
        log = (self.place / f"{name}.log").open("w")
        with log, netns.inside(self.host.namespace):
            process = subprocess.Popen([program, *self._flags(name)], stdout=log, stderr=log)
        self.ending.callback(process.wait, 15)
        self.ending.callback(process.kill)
        waiting.until((self.place / f"{name}.env").exists, "flanneld's lease file", within=20)

    def peace(self) -> bool:
        """Wait until nothing was changed for QUIET seconds; tell whether that was within three times as long."""
        with NftEvents(self.host.namespace) as events:
            for _ in range(30):
                if not select.select([events.fileno()], [], [], QUIET)[0]:
                    return True
                events.read()
        return False

    def ruled(self, network: str, *, native: bool) -> bool:
        """Tell whether a network's masquerade and accepts stand, in this tool."""
        if native:
            try:
                listed = self.host.run("nft", "list", "table", "ip", "flannel-ipv4")
            except subprocess.CalledProcessError:
                return False
            return f"ip saddr {network} accept" in listed and f"ip saddr {network} ip daddr != 224.0.0.0/4" in listed
        saved = self.host.run("iptables-save")
        accepted = f'-A FLANNEL-FWD -s {network} -m comment --comment "flanneld forward" -j ACCEPT' in saved
        return accepted and f"-A FLANNEL-POSTRTG -s {network} ! -d 224.0.0.0/4" in saved


@pytest.fixture
def stage(hosts: tuple[Space, Space], start: Start, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(hosts[0], start, tmp_path)
    yield made
    made.ending.close()


@pytest.mark.parametrize("blue", MODES)
@pytest.mark.parametrize("red", MODES)
@pytest.mark.parametrize("second", ["tulled", "flanneld"])
def test_two_daemons_of_two_networks_have_peace(stage: Stage, second: str, red: str, blue: str) -> None:
    stage.put(MODES[red], MODES[blue])
    begin: Callable[[str], object] = stage.tulled if second == "tulled" else stage.flanneld
    stage.tulled("red")
    begin("blue")

    def both() -> bool:
        return stage.ruled(RED, native=MODES[red]) and stage.ruled(BLUE, native=MODES[blue])

    waiting.until(both, "the rules of both", namespace=stage.host.namespace)
    assert (stage.peace(), both()) == (True, True)
    if second == "tulled" or blue == "iptables":  # a flanneld with nftables never looks again
        stage.host.run("nft", "flush", "ruleset")
        waiting.until(both, "the rules of both are back", namespace=stage.host.namespace)
        assert (stage.peace(), both()) == (True, True)


def test_who_goes_on_changing_rules_is_named(stage: Stage) -> None:
    stage.put(False, False)
    daemon = stage.tulled("red", "--healthz-port=8471")
    over = threading.Event()

    def change() -> None:
        while not over.is_set():
            stage.host.run("iptables", "-t", "nat", "-F", "FLANNEL-POSTRTG")
            waiting.until(lambda: over.is_set() or "MASQUERADE" in stage.host.run("iptables-save"), "it is put back")

    rival = threading.Thread(target=change)
    rival.start()
    try:
        said = "setting FLANNEL-POSTRTG of IPv4's iptables (5 times); something else on this host keeps changing it"
        waiting.until(lambda: said in daemon.log.read_text(), "the loop is told", within=30)
        name = f'tulle_firewall_contested{{network="{RED}"}}'
        assert daemon.metrics()[name] == 1
    finally:
        over.set()
        rival.join(15)
