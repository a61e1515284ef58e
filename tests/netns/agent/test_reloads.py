"""Claims about what makes rules of containers again by itself, beside the real kernel and the real firewalld:

- after `nft flush ruleset`, and after iptables was emptied, a published port and the firewall program's rules are back, unasked
- after firewalld's reload its zone has the container again, and the port is published
- containers that come and go start no repair; what the repair itself changes starts no second round
- the loss of bridge's rules against spoofing is heard as well, and no element of them that comes or goes
- somebody who goes on taking the rules away is answered less and less often, and said
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from agent import reloads
from bridge import spoofchk
from bridge.spoofchk_ports import Port
from cni.attachment_id import AttachmentID
from kernel import deferred, netns
from kernel.firewall.nft_monitor import NftLosses
from meta.firewall import zones
from tests.lab.waiting import until
from tests.netns.firewall.conftest import Container, Runtime, runtime
from tests.netns.firewall.test_firewalld import firewalld
from tests.netns.spaces import Space
from tests.unit.cli.repair import samples

__all__ = ["firewalld", "runtime"]
ROOT = Path(__file__).resolve().parents[3]
START = """import json, sys
from agent import reloads
vars(reloads).update(json.loads(sys.argv[3]))
reloads.watch(json.loads(sys.argv[1]), sys.argv[2], lambda text: print(text, file=sys.stderr, flush=True))
"""
PORT = 8080


class Host:
    """A host with one container that has a published port, its record, and the listener."""

    def __init__(self, runtime: Runtime, backend: str) -> None:
        self.runtime, self.container = runtime, runtime.container()
        self.programs, self.cache = runtime.directory / "bin", runtime.directory / "cni"
        self.log = runtime.directory / "log"
        self.programs.mkdir()
        for name in ("portmap", "firewall"):
            script = self.programs / name
            script.write_text(f'#!/bin/sh\ncd {ROOT} && exec {sys.executable} -m build.entry {name} "$@"\n')
            script.chmod(0o755)
        portmap = {
            "type": "portmap",
            "capabilities": {"portMappings": True},
            "backend": "iptables",
            "dataDir": str(runtime.directory / "memory"),
        }
        firewall = {"type": "firewall", "backend": backend}
        self.list = {"cniVersion": "1.0.0", "name": "net", "plugins": [portmap, firewall]}
        mapping = {"hostPort": PORT, "containerPort": 80, "protocol": "tcp"}
        runtime.add(self.container, "portmap", **portmap, runtimeConfig={"portMappings": [mapping]})
        runtime.add(self.container, "firewall", **firewall)
        self._remember([mapping])

    def _remember(self, mappings: list[dict[str, object]]) -> None:
        (self.cache / "results").mkdir(parents=True)
        record = samples.record(
            self.list,
            containerId=self.container.name,
            netns=self.container.space.path,
            capabilityArgs={"portMappings": mappings},
            result=self.container.result,
        )
        (self.cache / "results" / f"net-{self.container.name}-eth0").write_bytes(record)

    @contextmanager
    def watched(self, bus: str = "unix:path=/none", **patience: float) -> Iterator[None]:
        """Have the listener run, from when it listens; `patience` are its times."""
        repair = [
            "env",
            f"DBUS_SYSTEM_BUS_ADDRESS={bus}",
            "PYTHONPATH=" + str(ROOT),
            sys.executable,
            "-m",
            "build.entry",
        ]
        repair += [
            "tulle",
            "repair",
            "--json",
            "--podman",
            "--cache",
            str(self.cache),
            "--cni-path",
            str(self.programs),
        ]
        with self.log.open("w") as log, netns.inside(self.runtime.host.namespace):
            words = [sys.executable, "-c", START, json.dumps(repair), bus, json.dumps(patience)]
            watcher = subprocess.Popen(words, cwd=ROOT, stderr=log, stdout=log)
        with watcher:
            try:
                sockets = Path("/proc/net/netlink")
                until(lambda: _listens(watcher.pid), f"it listens ({sockets})")
                yield
            finally:
                watcher.kill()

    def published(self) -> bool:
        """Tell whether the port is translated to the container."""
        listed = self.runtime.host.run("iptables-save", "-t", "nat")
        return f"--to-destination {self.container.four}:80" in listed and "-A PREROUTING" in listed

    def let_through(self) -> bool:
        """Tell whether the firewall program's rules for the container are there."""
        return any(self.container.four in line for line in self.runtime.legacy())

    def said(self, words: str) -> Callable[[], bool]:
        return lambda: words in self.log.read_text()


def _listens(pid: int) -> bool:
    """Tell whether a process has a netlink socket of netfilter's that listens to a group."""
    lines = Path(f"/proc/{pid}/net/netlink").read_text(encoding="ascii").splitlines()[1:]
    return any(words[1] == "12" and int(words[3], 16) for words in map(str.split, lines))


@pytest.mark.parametrize(
    "flush",
    [["nft", "flush", "ruleset"], ["sh", "-c", "for t in nat filter; do iptables -t $t -F; iptables -t $t -X; done"]],
)
def test_what_a_flush_took_is_back_unasked(runtime: Runtime, flush: list[str]) -> None:
    host = Host(runtime, "iptables")
    with host.watched():
        assert (host.published(), host.let_through()) == (True, True)
        runtime.host.run(*flush)
        until(
            lambda: host.published() and host.let_through(), f"the rules are back ({host.log.read_text()})", within=30
        )
        name = f"net/{host.container.name}/eth0"
        until(host.said(f"{name}: portmap repaired: port mappings of {name}"), "it is said")


def test_after_firewallds_reload_the_zone_has_the_container_and_the_port_is_there(firewalld: Runtime) -> None:
    bus = firewalld.environ["DBUS_SYSTEM_BUS_ADDRESS"]
    host = Host(firewalld, "firewalld")
    with host.watched(bus):
        send = (
            "dbus-send",
            f"--bus={bus}",
            "--print-reply",
            f"--dest={zones.NAME}",
            zones.ZONES[1],
            f"{zones.NAME}.reload",
        )
        firewalld.host.run(*send)

        def bound() -> bool:
            listed = firewalld.host.run("nft", "list", "ruleset")
            return f"ip saddr {host.container.four} goto filter_FWD_trusted" in listed

        until(lambda: bound() and host.published(), f"zone and port are back ({host.log.read_text()})", within=30)
        until(host.said("firewalld was reloaded"), "firewalld's word is heard", within=20)


def test_containers_that_come_and_go_start_no_repair(runtime: Runtime) -> None:
    host = Host(runtime, "iptables")
    with host.watched():
        other: Container = runtime.container(6)
        runtime.publish(other, 8081)
        runtime.add(other, "firewall", backend="iptables")
        for program in ("firewall", "portmap"):
            mapping = {"hostPort": 8081, "containerPort": 80, "protocol": "tcp"}
            runtime.call("DEL", other, program, runtimeConfig={"portMappings": [mapping]})
        runtime.host.run("nft", "flush", "ruleset")
        until(host.published, "the port is back", within=30)
        until(host.said("repaired"), "it is said")
    assert host.log.read_text().count("looking for what containers lost") == 1


def test_who_goes_on_taking_rules_away_is_answered_less_often_and_said(runtime: Runtime) -> None:
    host = Host(runtime, "iptables")
    with host.watched(PAUSE=0.1, LOOP=0.8):
        for number in range(1, 5):
            runtime.host.run("nft", "flush", "ruleset")
            until(lambda: host.log.read_text().count("portmap repaired") == number, "it is repaired", within=30)  # noqa: B023
        until(host.said("somebody takes rules of containers away again and again"), "the loop is said")


def test_the_loss_of_the_rules_against_spoofing_is_heard_and_ports_that_come_and_go_are_not(host: Space) -> None:
    owner, port = AttachmentID("net", "c1", "eth0"), Port("veth1", "02:00:00:00:00:05", (ip_address("10.1.0.5"),))
    with netns.inside(host.namespace), NftLosses() as losses:
        spoofchk.admit(owner, port)
        spoofchk.dismiss(owner, search=True)
        assert losses.read() & reloads.TABLES == set()
        host.run("nft", "flush", "ruleset")
        assert losses.read() & reloads.TABLES == {"tulle-spoofchk"}
    deferred.drain()
