"""Measures with iperf3 what each backend transports, compared with a vxlan made by `ip` commands.

Each backend has two simulated hosts on one wire; all exist at once, and the rounds go through them in turn. A ratio is
the median of the ratios of the single rounds. Where only the kernel forwards, two streams are sent at the same time on
the same processors, so that other work of the machine affects both equally. A veth is the wire and both ends share the
processors, so only the ratios have a meaning.

    python bench/datapath.py [--rounds N] [--seconds N] [--json]
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.lab.hosts import Host, Lab  # noqa: E402 - found by the line above
from tests.lab.member import URL, Member  # noqa: E402 - the same
from tests.lab.world import Place, tool  # noqa: E402 - the same

BY_HAND = "vxlan by hand"
IN_KERNEL = ("vxlan", "host-gw")
BACKENDS = (*IN_KERNEL, "wireguard", "udp")
OPTIONS = ("--store", "etcd", "--etcd-endpoints", URL, "--network", "")
ADDRESSES = ("10.42.1.1", "10.42.2.1")
MACS = ("02:00:00:00:00:0a", "02:00:00:00:00:0b")
Track = tuple[Place, str]
"""Where the client runs, and the address of its server."""


def main() -> int:
    """Build everything, measure in turn, and print."""
    options = _options()
    with ExitStack() as stack:
        tracks: dict[str, Track] = {BY_HAND: _by_hand(stack)}
        tracks |= {backend: _backend(stack, backend) for backend in BACKENDS}
        speeds: dict[str, list[float]] = {name: [] for name in tracks}
        ratios: dict[str, list[float]] = {name: [] for name in tracks}
        for _ in range(options.rounds):
            for name, track in tracks.items():
                speeds[name].append(_gigabits(track, options.seconds))
                ratios[name].append(
                    _beside(tracks[BY_HAND], track, options.seconds)
                    if name in IN_KERNEL
                    else speeds[name][-1] / speeds[BY_HAND][-1]
                )
    result = {name: _summary(speeds[name], ratios[name]) for name in tracks}
    if options.json:
        print(json.dumps(result))
        return 0
    print(f"{'way':16}{'Gbit/s':>8}{'ratio':>8}{'spread':>8}")
    for name, row in result.items():
        print(f"{name:16}{row['gbit_s']:>8.2f}{row['ratio']:>8.3f}{row['spread']:>8.3f}")
    return 0


def _summary(speeds: list[float], ratios: list[float]) -> dict[str, float]:
    """Return the medians, and the median distance of single rounds' ratios from theirs."""
    middle = statistics.median(ratios)
    spread = statistics.median(abs(ratio - middle) for ratio in ratios)
    return {"gbit_s": round(statistics.median(speeds), 3), "ratio": round(middle, 3), "spread": round(spread, 3)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="iperf3 through each backend and through a hand-made vxlan")
    parser.add_argument("--rounds", type=int, default=15, help="measurements of each (default 15)")
    parser.add_argument("--seconds", type=int, default=1, help="seconds of each measurement (default 1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def _lab(stack: ExitStack) -> tuple[Lab, Host, Host]:
    lab = stack.enter_context(Lab({"host-a": 1, "host-b": 1}))
    return lab, lab.hosts["host-a"], lab.hosts["host-b"]


def _by_hand(stack: ExitStack) -> Track:
    """Make the tunnel like flannel's device, as a person would type it."""
    _, one, other = _lab(stack)
    for number, host in enumerate((one, other)):
        far = (other, one)[number]
        mac, far_mac = MACS[number], MACS[1 - number]
        local, remote = host.standing.address.ip, far.standing.address.ip
        base, far_base = (ADDRESSES[place].removesuffix("1") + "0" for place in (number, 1 - number))
        host.place.ip(
            f"link add hand.1 address {mac} mtu 1450 type vxlan id 1 dstport 8472 local {local} dev eth0 nolearning",
            f"address add {base}/32 dev hand.1",
            "link set hand.1 up",
            f"neighbour add {far_base} lladdr {far_mac} dev hand.1 nud permanent",
            f"route add {far_base}/24 via {far_base} dev hand.1 onlink",
            "link add tulle0 type bridge",
            f"address add {ADDRESSES[number]}/24 dev tulle0",
            "link set tulle0 up",
        )
        host.place.run(tool("bridge"), "fdb", "append", far_mac, "dev", "hand.1", "dst", str(remote))
    return _served(one, other, ADDRESSES[1])


def _backend(stack: ExitStack, backend: str) -> Track:
    lab, one, other = _lab(stack)
    etcd = Member(lab)
    etcd.start()
    etcd.ctl("put", "/coreos.com/network/config", f'{{"Network":"10.42.0.0/16","Backend":{{"Type":"{backend}"}}}}')
    for host in (one, other):
        host.start_daemon(*OPTIONS).wait_ready(60)
    return _served(one, other, other.lease()["FLANNEL_SUBNET"].partition("/")[0])


def _served(one: Host, other: Host, address: str) -> Track:
    """Start the server when the other host's address answers."""
    ping = partial(one.place.attempt, tool("ping"), "-c1", "-W1", address)
    one.wait(lambda: ping().returncode == 0, f"{address} answers", 30)
    job = other.place.start(tool("iperf3"), "--server", "--forceflush", log=subprocess.PIPE)
    while job.stdout is not None and "listening" not in job.stdout.readline():
        if job.poll() is not None:
            raise SystemExit("iperf3 ended")
    return one.place, address


def _beside(by_hand: Track, track: Track, seconds: int) -> float:
    """Send through both at once, clients on one processor and servers on another, and return the ratio."""
    usable = sorted(os.sched_getaffinity(0))
    pinned = ("--affinity", f"{usable[0]},{usable[-1]}")
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda each: _gigabits(each, seconds, *pinned), (by_hand, track))
    return other / one


def _gigabits(track: Track, seconds: int, *options: str) -> float:
    """Send over TCP for some seconds, and return what arrived, in Gbit/s."""
    client, address = track
    command = (tool("iperf3"), "--client", address, "--time", str(seconds), "--json", *options)
    text = client.run(*command, within=seconds + 30.0)
    return float(json.loads(text)["end"]["sum_received"]["bits_per_second"]) / 1e9


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
