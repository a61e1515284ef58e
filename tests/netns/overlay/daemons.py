"""Real tulled processes in private namespaces, for the tests of this directory.

A daemon is started from the source tree, says READY=1 on a socket of its own and ends with the test at the latest.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

from kernel import netns
from kernel.netlink.requests import AddBridge, AddVeth, SetLink
from lease import file
from overlay.firewall import known_networks
from tests.netns.spaces import Space, cable

ROOT = Path(__file__).resolve().parents[3]
START = "import sys; from overlay.main import main; sys.exit(main())"
DEVICE = "flannel.1"


class Tulled:
    """One daemon in a space, with its lease file and log in a directory of its own.

    `within` is a command that runs it elsewhere, `program` the Python text that it is.
    """

    def __init__(
        self, space: Space, place: Path, *flags: str, within: tuple[str, ...] = (), program: str = START
    ) -> None:
        self.space, self.place, self.within = space, place / space.name, within
        self.place.mkdir(exist_ok=True)
        self.lease_file = self.place / "subnet.env"
        self.log = self.place / "log"
        self._ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        (self.place / "notify").unlink(missing_ok=True)
        self._ready.bind(str(self.place / "notify"))
        self._ready.settimeout(30)  # an emulated machine needs half of it
        named = any("=/" in flag for flag in flags)  # several networks name their own
        own = () if named else ("--subnet-file", str(self.lease_file))
        command = [*within, sys.executable, "-c", program, *own, *flags]
        environ = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(self.place / "notify")}
        with self.log.open("a") as log, netns.inside(space.namespace):
            self.process = subprocess.Popen(command, cwd=ROOT, env=environ, stderr=log, stdout=log)

    def ready(self) -> "Tulled":
        """Return when the daemon said READY=1; fail with its log when it does not."""
        heard, end = b"", time.monotonic() + 30
        while b"READY=1" not in heard.splitlines():
            try:
                heard = self._ready.recv(4096)
            except TimeoutError:
                end = 0
            assert time.monotonic() < end, f"{self.space.name} is not ready:\n{self.log.read_text()}"
        return self

    def heard(self) -> str:
        """Give the next word to the service manager."""
        return self._ready.recv(4096).decode()

    def status(self, words: str) -> None:
        """Return when the daemon's status to the service manager contains these words; fail with its log when it says others."""
        heard, end = "", time.monotonic() + 30
        while words not in heard:
            assert time.monotonic() < end, f"{self.space.name} does not say {words!r}:\n{self.log.read_text()}"
            heard = self._ready.recv(4096).decode()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the daemon and give its exit code."""
        self.process.send_signal(number)
        return self.finished()

    def finished(self) -> int:
        """Wait for the daemon's own end and give its exit code."""
        return self.process.wait(15)

    def close(self) -> None:
        """End the daemon, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(15)
        self._ready.close()
        with netns.inside(self.space.namespace):
            shutil.rmtree(Path(known_networks.PLACE) / str(netns.cookie()), ignore_errors=True)

    @property
    def lease(self) -> file.Lease:
        """What the lease file says."""
        return file.read(str(self.lease_file))

    @property
    def subnet(self) -> IPv4Network:
        """The IPv4 subnet in the lease file."""
        assert isinstance(self.lease.subnet, IPv4Interface)
        return self.lease.subnet.network

    def moved_from(self, lost: IPv4Network) -> bool:
        """Tell whether the lease file names another subnet by now; between the two there is none."""
        try:
            return self.subnet != lost
        except file.Unavailable:
            return False

    @property
    def base(self) -> str:
        """The host's own address in the overlay."""
        return str(self.subnet.network_address)

    @property
    def gateway(self) -> str:
        """The address containers of this host use as their gateway; --bridge puts it on a link."""
        assert self.lease.subnet is not None
        return str(self.lease.subnet.ip)

    @property
    def mac(self) -> str:
        """The tunnel device's MAC."""
        link = self.space.network.link(DEVICE)
        assert link is not None
        return link.mac

    def knows(self, other: "Tulled") -> bool:
        """Tell whether ARP, FDB entry and route to another daemon's host stand here."""
        link = self.space.network.link(DEVICE)
        if link is None or not other.lease_file.exists():
            return False
        network, index = self.space.network, link.index
        return (
            any(route.dst == other.subnet and route.onlink for route in network.routes(link=index))
            and any(entry.mac == other.mac for entry in network.fdb(index))
            and any(str(entry.address) == other.base and entry.permanent for entry in network.neighbours(index))
        )

    def ping(self, other: "Tulled") -> None:
        """Send one packet to another host's overlay address and back."""
        self.space.run("ping", "-c1", "-W2", other.base)

    def reaches(self, other: "Tulled") -> bool:
        """Tell whether a packet to another host's gateway address comes back."""
        try:
            self.space.run("ping", "-c1", "-W1", other.gateway)
        except subprocess.CalledProcessError:
            return False
        return True

    def metrics(self, port: int = 8471) -> dict[str, float]:
        """Ask for the figures from inside the space, each by its name and its labels without the network's."""
        script = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())"
        text = self.space.run(sys.executable, "-c", script, f"http://127.0.0.1:{port}/metrics")
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name.replace('network="10.42.0.0/16"', "").replace("{}", ""): float(value) for name, _, value in lines}

    def health(self, path: str, port: int = 8471) -> tuple[int, Any]:
        """Ask the health server from inside the space."""
        script = (
            "import http.client,sys; c = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1])); "
            "c.request('GET', sys.argv[2]); r = c.getresponse(); print(r.status, r.read().decode())"
        )
        code, _, body = self.space.run(sys.executable, "-c", script, str(port), path).partition(" ")
        return int(code), json.loads(body)


def pair(one: Space, two: Space) -> None:
    """Join two hosts directly: 192.0.2.1 and 192.0.2.2."""
    cable(one, "eth0=192.0.2.1/24", two, "eth0=192.0.2.2/24")


def segment(wire: Space, *hosts: Space) -> None:
    """Join hosts by a bridge in a space of its own: 192.0.2.1, .2, ..."""
    wire.network.apply(AddBridge("wire"))
    master = wire.index("wire")
    for number, host in enumerate(hosts, start=1):
        wire.network.apply(AddVeth(f"port{number}", "eth0", host.namespace, master=master))
        host.network.apply(SetLink("eth0", up=True))
        host.run("ip", "address", "add", f"192.0.2.{number}/24", "dev", "eth0")
