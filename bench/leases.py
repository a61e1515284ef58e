"""Times a real tulled that configures many peers from a real etcd, in namespaces of its own.

For every number of peers it prints: seconds from the start of the process until every peer is configured and READY=1 is
sent, netlink messages sent and resident memory at that moment, and the time from a put in etcd to the route in the
kernel (the median of several puts). etcd and daemon share the cores of one machine; other hosts are only keys.

    python bench/leases.py [--peers N] [--json]
"""

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kernel.netlink.handle import Handle
from kernel.netlink.monitor import Events
from overlay.backends import vxlan
from overlay.stores.etcd import keys, messages
from overlay.stores.etcd.client import Client, Credentials
from overlay.subnet import attributes
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from tests.lab.etcd import Etcd

INSIDE = "TULLE_BENCH_INSIDE"
SIZES = (1, 100, 1_000, 5_000)
PUTS = 7
HEALTH = 8471
DEVICE = "flannel.1"
CONFIG = '{"Network":"10.0.0.0/8","SubnetLen":24,"Backend":{"Type":"vxlan"}}'
KEYS = keys.Keys.below(keys.DEFAULT_PREFIX)
PATIENCE = 120.0
"""Seconds for the daemon to become ready, and for a route to appear."""

Result = dict[str, float | int]


def main() -> int:
    """Measure one number of peers, or all of them, and print."""
    options = _options()
    if INSIDE not in os.environ:
        command = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, *sys.argv]
        return subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode
    results = [_measure(peers) for peers in ([options.peers] if options.peers else SIZES)]
    if options.json:
        print(json.dumps(results[0] if options.peers else results))
        return 0
    print(f"{'peers':>7}{'seconds':>9}{'messages':>10}{'rss MiB':>9}{'put to route ms':>17}")
    for one in results:
        print(
            f"{one['peers']:>7}{one['seconds']:>9}{one['messages']:>10}{one['rss_mib']:>9}{one['put_to_route_ms']:>17}"
        )
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="time a tulled that programs many peers out of an etcd")
    parser.add_argument("--peers", type=int, help=f"how many other hosts (without it: {SIZES})")
    parser.add_argument("--json", action="store_true", help="print JSON: one object with --peers, else a list")
    return parser.parse_args()


def _measure(peers: int) -> Result:
    """Measure one number of peers with a new etcd and a new device."""
    with TemporaryDirectory() as directory:
        for words in ("link set lo up", "link add eth0 type veth peer name wire", "link set wire up"):
            _ip(words)
        _ip("address add 192.0.2.1/24 dev eth0")
        _ip("link set eth0 up")
        etcd = Etcd(Path(directory) / "etcd").start()
        try:
            etcd.put("/coreos.com/network/config", CONFIG)
            asyncio.run(_put(etcd.url, range(1, peers + 1)))
            return _watch_daemon(peers, etcd.url, Path(directory))
        finally:
            etcd.stop(signal.SIGKILL)
            for link in ("eth0", DEVICE):
                subprocess.run(["ip", "link", "delete", link], check=False, stderr=subprocess.DEVNULL)


def _watch_daemon(peers: int, url: str, place: Path) -> Result:
    flags = ("--etcd-endpoints", url, "--subnet-file", place / "subnet.env", "--iface", "eth0")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, (place / "log").open("w") as log:
        notify.bind(str(place / "notify"))
        notify.settimeout(PATIENCE)
        environ = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(place / "notify")}
        began = time.perf_counter()
        daemon = subprocess.Popen(
            [ROOT / "dist" / "bin" / "tulled", *flags, "--healthz-ip", "127.0.0.1", "--healthz-port", str(HEALTH)],
            env=environ,
            stderr=log,
        )
        try:
            while b"READY=1" not in notify.recv(4096).splitlines():
                pass
            seconds = time.perf_counter() - began
            with Handle() as kernel:
                return _result(kernel, daemon.pid, peers, seconds) | {"put_to_route_ms": _puts(kernel, peers, url)}
        except TimeoutError:
            raise SystemExit(f"not ready after {PATIENCE:.0f} s: {(place / 'log').read_text()[-2000:]}") from None
        finally:
            daemon.kill()
            daemon.wait()


def _result(kernel: Handle, pid: int, peers: int, seconds: float) -> Result:
    device = kernel.link(DEVICE)
    routes = len(kernel.routes(family=socket.AF_INET, link=device.index)) if device else 0
    if routes != peers:
        raise SystemExit(f"ready with {routes} routes for {peers} peers")
    kibibytes = re.search(r"VmRSS:\s+([0-9]+)", Path(f"/proc/{pid}/status").read_text())
    memory = round(int(kibibytes[1]) / 1024, 1) if kibibytes else 0.0
    return {"peers": peers, "seconds": round(seconds, 2), "messages": _messages(), "rss_mib": memory}


def _messages() -> int:
    """Return how many netlink messages the daemon says it has sent."""
    with urllib.request.urlopen(f"http://127.0.0.1:{HEALTH}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.search(r"^tulle_netlink_messages_total\{[^}]*\} ([0-9.e+]+)$", text, re.MULTILINE)
    return int(float(found[1])) if found else 0


def _puts(kernel: Handle, peers: int, url: str) -> float:
    """Put one lease after the other, and return the median of the milliseconds until its route exists."""
    return round(statistics.median(asyncio.run(_timed(kernel, url, range(peers + 1, peers + 1 + PUTS)))) * 1000, 1)


async def _timed(kernel: Handle, url: str, numbers: range) -> list[float]:
    taken = []
    with Events(kinds=["route"]) as events, _client(url) as client:
        for number in numbers:
            await asyncio.sleep(1.5)  # until the daemon is idle: it reads the kernel again after its own changes
            began = time.perf_counter()
            await client.call("KV/Txn", _lease(number), bytes)
            _until(partial(_routed, kernel, number), events)
            taken.append(time.perf_counter() - began)
    return taken


def _until(true: Callable[[], bool], events: Events) -> None:
    deadline = time.perf_counter() + PATIENCE
    while not true():
        if time.perf_counter() > deadline:
            raise SystemExit(f"no route {PATIENCE:.0f} s after its lease was put")
        events.wait(1.0)


def _routed(kernel: Handle, number: int) -> bool:
    way = kernel.route_to(_subnet(number)[1])
    return way is not None and way.gateway == _subnet(number)[0]


async def _put(url: str, numbers: range) -> None:
    with _client(url) as client:
        gate = asyncio.Semaphore(64)

        async def put(number: int) -> None:
            async with gate:
                await client.call("KV/Txn", _lease(number), bytes)

        await asyncio.gather(*map(put, numbers))


class _client:  # noqa: N801 - used like a function
    """A client of the etcd for one `with` block."""

    def __init__(self, url: str) -> None:
        self._client = Client(keys.endpoints(url), Credentials())

    def __enter__(self) -> Client:
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()


def _subnet(number: int) -> IPv4Network:
    return IPv4Network((int(IPv4Address("10.64.0.0")) + (number << 8), 24))


def _lease(number: int) -> bytes:
    """Return the transaction that puts the lease of one simulated host, in flannel's form, without a TTL."""
    subnet = Subnet(_subnet(number))
    public = IPv4Address(int(IPv4Address("172.16.0.0")) + number)
    mac = vxlan.derived_mac(1, subnet.ipv4)
    value = Attributes(public, None, "vxlan", attributes.compact({"VNI": 1, "VtepMAC": mac}))
    return messages.put_if([], KEYS.lease(subnet), attributes.encode(value).encode(), 0)


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)


if __name__ == "__main__":
    sys.exit(main())
