"""Pretend hosts on an underlay, each with a daemon, a runtime and containers: what the demo shows and the tests rely on.

A host is a network and a mount namespace; a container is a network namespace under the host's own /run/netns. The programs are the
built ones in dist/. Waiting means waiting for an event: a readiness message, a line of `ip monitor`, the end of a process.
Must not print, and must not judge what the network does.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any, Self

from tests.lab import daemon, underlay
from tests.lab.daemon import DIST, ROOT, Daemon
from tests.lab.runtime import Attachment, Conflist, Runtime
from tests.lab.world import LabError, Place, World, tool

CONFLIST = ROOT / "conf" / "10-tulle.conflist"
PORTS = ROOT / "conf" / "20-tulle-ports.conflist"
FENCED = ROOT / "conf" / "30-tulle-fenced.conflist"
LAB = ROOT / "tests" / "lab"
DEVICE = "flannel.1"
PORT = 8080


@dataclass(slots=True)
class Container:
    """A network namespace on a host, and the result of its ADD."""

    name: str
    place: Place
    attachment: Attachment
    result: dict[str, Any]

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses it was given, without their lengths."""
        return tuple(str(entry["address"]).partition("/")[0] for entry in self.result["ips"])

    @property
    def address(self) -> str:
        """The first of them."""
        return self.addresses[0]

    def serve(self) -> None:
        """Start the web server that tells visitors their address, and return when it listens."""
        serve(self.place)


@dataclass(slots=True)
class Host:
    """A pretend host: where it stands, the place to run commands, and what runs there."""

    name: str
    place: Place
    standing: underlay.Standing
    runtime: Runtime
    workdir: Path
    daemon: Daemon | None = None
    containers: dict[str, Container] = field(default_factory=dict)

    def start_daemon(self, *options: str, program: Path = DIST / "bin" / "tulled") -> Daemon:
        """Start tulled here; the caller waits until it is ready."""
        self.daemon = daemon.start(self.place, self.workdir, *options, program=program)
        return self.daemon

    def add(self, name: str, runtime: Runtime | None = None) -> Container:
        """Make a network namespace and attach it; a refused ADD is followed by its DEL, as runtimes do, and raised."""
        runtime = runtime or self.runtime
        attachment = self.make_namespace(name)
        try:
            result = runtime.add(attachment)
        except Exception:
            runtime.delete(attachment)
            self.place.ip(f"netns delete {name}")
            raise
        self.containers[name] = Container(name, self.place.inside(name), attachment, result)
        return self.containers[name]

    def make_namespace(self, name: str) -> Attachment:
        """Make a container's network namespace with its loopback up; its name is the container id."""
        self.place.ip(f"netns add {name}")
        self.place.inside(name).ip("link set lo up")
        return Attachment(name, f"/run/netns/{name}")

    def remove(self, name: str, runtime: Runtime | None = None) -> None:
        """Detach a container and delete its namespace."""
        (runtime or self.runtime).delete(self.containers[name].attachment)
        self.place.ip(f"netns delete {name}")
        del self.containers[name]

    def conflist(self, document: dict[str, Any]) -> Runtime:
        """Return a second runtime on this host with another conflist."""
        return Runtime(self.place, Conflist.decode(document), DIST / "cni")

    def show(self, *words: str) -> Any:
        """Return what `ip -json WORDS` or, when the first word is fdb, `bridge -json` says here; nothing where it refuses."""
        program = "bridge" if words[0] == "fdb" else "ip"
        return json.loads(self.place.attempt(tool(program), "-json", *words).stdout or "[]")

    def lease(self) -> dict[str, str]:
        """Return the variables of the lease file."""
        lines = self.place.run(tool("cat"), daemon.SUBNET_FILE).split()
        return dict(line.split("=", 1) for line in lines)

    def wait(self, true: Callable[[], bool], what: str, within: float = 15) -> float:
        """Return the seconds until a claim about the kernel became true; look at every event of `ip monitor`, and in between."""
        started = time.monotonic()
        with watching(self.place) as events:
            while not true():
                rest = started + within - time.monotonic()
                if rest <= 0:
                    raise LabError(f"on {self.name}, not after {within:.0f} s: {what}")
                if select.select([events], [], [], min(rest, 0.25))[0]:
                    os.read(events, 65536)
        return time.monotonic() - started

    def knows(self, other: "Host") -> bool:
        """Say whether the tunnel to another host stands here: the route to its subnet and the forwarding entry to its address."""
        subnet = IPv4Interface(other.lease()["FLANNEL_SUBNET"]).network
        if not any(route["dst"] == str(subnet) for route in self.show("route", "show", "dev", DEVICE)):
            return False
        return any(
            entry.get("dst") == str(other.standing.address.ip) for entry in self.show("fdb", "show", "dev", DEVICE)
        )

    def has_device(self) -> bool:
        """Say whether the tunnel device is there."""
        return any(link["ifname"] == DEVICE for link in self.show("link", "show"))


@contextlib.contextmanager
def watching(place: Place) -> Iterator[int]:
    """Run `ip monitor` beside the block and yield the descriptor its lines arrive on."""
    job = place.start(tool("ip"), "monitor", "all", log=subprocess.PIPE)
    try:
        if job.stdout is None:
            raise LabError("ip monitor has no output to read")
        yield job.stdout.fileno()
    finally:
        os.killpg(job.pid, signal.SIGKILL)
        job.communicate(timeout=10)


def forward(place: Place) -> None:
    """Let a place route between its links, in both families where there are both."""
    keys = "/proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding"
    place.run(tool("sh"), "-c", f"for key in {keys}; do [ ! -e $key ] || echo 1 > $key; done")


def serve(place: Place) -> None:
    """Start the web server that tells visitors their address in a place, and return when it listens."""
    job = place.start(sys.executable, "-IS", LAB / "whoami.py", str(PORT), log=subprocess.PIPE)
    if job.stdout is None or job.stdout.readline() != "ready\n":
        raise LabError(f"the web server on {place.name} did not start")


def probe(place: Place, targets: Iterable[str]) -> "subprocess.Popen[str]":
    """Start trying paths from a place; each line of its output is one target's answer (tests.lab.probe)."""
    return place.start(sys.executable, "-IS", LAB / "probe.py", str(PORT), *targets, log=subprocess.PIPE)


class Lab:
    """A world with hosts on an underlay, and a directory for what they share; all of it ends with the `with` block."""

    def __init__(self, segments: Mapping[str, int], *, dual: bool = False, lasting: bool = False) -> None:
        """Make the hosts, named and placed on their segments, the router, and the place outside."""
        if not (DIST / "cni").is_dir():
            raise LabError(f"{DIST / 'cni'} is not there: run `make build` first")
        self.hosts: dict[str, Host] = {}
        self.world = World(lasting=lasting)
        self.workdir = Path(tempfile.mkdtemp(prefix="tulle-lab-"))
        try:
            self._lay(underlay.standings(segments, dual=dual))
        except BaseException:
            self.close()
            raise

    def _lay(self, placed: tuple[underlay.Standing, ...]) -> None:
        self.router, self.outside = self.world.add_namespace("router"), self.world.add_namespace("outside")
        places = {standing.host: self.world.add_host(standing.host) for standing in placed}
        self.world.place.ip(*underlay.wires(placed))
        self.router.ip(*underlay.router(placed))
        forward(self.router)
        self.outside.ip(*underlay.outside())
        for standing in placed:
            place = places[standing.host]
            place.ip(*underlay.host(standing))
            runtime = Runtime(place, Conflist.read(CONFLIST), DIST / "cni")
            self.hosts[standing.host] = Host(standing.host, place, standing, runtime, self.workdir)

    def start_daemons(self, *options: str) -> None:
        """Start a daemon on every host and return when all are ready and know of each other."""
        for host in self.hosts.values():
            host.start_daemon(*options)
        for host in self.hosts.values():
            if host.daemon is not None:
                host.daemon.wait_ready()
        for host in self.hosts.values():
            host.wait(partial(self.joined, host), "a tunnel to every other host")

    def joined(self, host: Host) -> bool:
        """Say whether a host has its tunnel to every other one."""
        return all(host.knows(other) for other in self.hosts.values() if other is not host)

    def close(self) -> None:
        """End the world with everything in it, and remove the shared directory."""
        for host in self.hosts.values():
            if host.daemon is not None:
                host.daemon.close()
        self.world.close()
        shutil.rmtree(self.workdir, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
