"""Claims, for every backend on three hosts on one wire: every pair reaches each other's gateway; what is damaged is repaired
within 10 s; a killed and restarted daemon loses no packet and changes nothing; a peer that leaves takes its ways along.
"""

import json
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kernel import netns
from tests.lab import waiting
from tests.netns.overlay.conftest import Start
from tests.netns.overlay.daemons import ROOT, Tulled
from tests.netns.spaces import Space

REPAIR = 10.0


@dataclass(frozen=True)
class Case:
    """A backend, what is broken to see it repaired, and the MTU containers get on a wire of 1500 bytes."""

    backend: dict[str, Any]
    damages: tuple[str, ...]
    mtu: int

    @property
    def name(self) -> str:
        return "-".join(str(value) for value in self.backend.values())


CASES = [
    Case(
        {"Type": "wireguard"},
        ("ip route flush dev flannel-wg", "ip link set flannel-wg down", "ip link del flannel-wg"),
        1420,
    ),
    Case({"Type": "wireguard", "Mode": "ipv4", "PSK": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}, (), 1420),
    Case({"Type": "udp"}, ("ip route flush dev flannel0", "ip link set flannel0 down", "ip link del flannel0"), 1472),
    Case(
        {"Type": "vxlan", "DirectRouting": True},
        ("ip route flush root 10.42.0.0/16 proto boot", "ip link del flannel.1"),
        1450,
    ),
    Case({"Type": "host-gw"}, ("ip route flush root 10.42.0.0/16 proto boot",), 1500),
]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


Begin = Callable[[Space], Tulled]


@pytest.fixture
def begin(case: Case, start: Start, tmp_path: Path) -> Iterator[Begin]:
    config = tmp_path / "net-conf.json"
    config.write_text(json.dumps({"Network": "10.42.0.0/16", "Backend": case.backend}))
    flags = ("--store", f"sqlite:{tmp_path / 'net.db'}", "--net-config", str(config), "--iface", "eth0")
    with ExitStack() as stack:
        runs: dict[str, tuple[str, ...]] = {}

        def one(space: Space) -> Tulled:
            if case.backend["Type"] == "wireguard" and space.name not in runs:
                runs[space.name] = stack.enter_context(own_run())
            key = ("--wireguard-key-file", str(tmp_path / f"{space.name}.key"))
            return start(space, *flags, *key, "--bridge", "tulle0", within=runs.get(space.name, ()))

        yield one


@contextmanager
def own_run() -> Iterator[tuple[str, ...]]:
    """Give a host a /run of its own, where wireguard-go keeps its sockets; yields the command that enters it."""
    hold = "mount -t tmpfs tmpfs /run && echo held && exec cat"
    command = ["unshare", "--mount", "sh", "-c", hold]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield ("nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", f"--wd={ROOT}", "--")
        assert holder.stdin is not None
        holder.stdin.close()


@pytest.fixture
def daemons(three: tuple[Space, ...], begin: Begin) -> tuple[Tulled, ...]:
    all_of_them = tuple(map(begin, three))
    for daemon in all_of_them:
        daemon.ready()
    for daemon in all_of_them:
        for other in all_of_them:
            if other is not daemon:
                _reached(daemon, other)
    return all_of_them


def _reached(one: Tulled, other: Tulled) -> float:
    return waiting.until(
        lambda: one.reaches(other), f"{one.space.name} reaches {other.space.name}", namespace=one.space.namespace
    )


def test_every_pair_is_reachable_and_the_mtu_is_the_backends(daemons: tuple[Tulled, ...], case: Case) -> None:
    assert {daemon.lease.mtu for daemon in daemons} == {case.mtu}


def test_damage_is_repaired(daemons: tuple[Tulled, ...], case: Case) -> None:
    one, other, _ = daemons
    for damage in case.damages:
        one.space.run(*damage.split())
        _reached(one, other)


def test_the_daemons_death_loses_no_packet_and_its_restart_changes_nothing(
    daemons: tuple[Tulled, ...], begin: Begin
) -> None:
    one, other, _ = daemons
    before = _ways(one)
    with netns.inside(one.space.namespace):
        ping = subprocess.Popen(["ping", "-i0.02", "-c150", other.gateway], stdout=subprocess.PIPE, text=True)
    assert one.end(signal.SIGKILL) == -signal.SIGKILL
    begin(one.space).ready()
    said, _ = ping.communicate(timeout=30)
    assert "150 packets transmitted, 150 received, 0% packet loss" in said
    assert _ways(one) == before


def test_a_peer_that_leaves_takes_its_ways_along(daemons: tuple[Tulled, ...], tmp_path: Path) -> None:
    one, other, third = daemons
    assert other.end() == 0
    base = sqlite3.connect(tmp_path / "net.db", timeout=5)
    with base:
        base.execute("UPDATE meta SET value = value + 1 WHERE name = 'revision'")
        revision = "(SELECT value FROM meta WHERE name = 'revision')"
        base.execute(f"UPDATE leases SET value = NULL, revision = {revision} WHERE key = ?", (f"{other.base}-24",))
    base.close()
    waiting.until(lambda: not one.reaches(other), "peer forgotten", namespace=one.space.namespace)
    assert one.reaches(third)


def _ways(daemon: Tulled) -> str:
    return daemon.space.run("ip", "-o", "link") + daemon.space.run("ip", "route")
