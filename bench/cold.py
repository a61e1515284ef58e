"""Times the cold programs beside the reference ones, call by call, in namespaces of its own.

Shows medians and ratios: machines are noisy, a ratio of calls made in turn is not. Not a test: nothing here can fail a run.
Blind spot: one container at a time, and the reference is whatever REFERENCE names (default /usr/lib/cni).

    python bench/cold.py [--rounds N] [--reference DIR] [--ours DIR]
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
INSIDE = "TULLE_BENCH_INSIDE"

Scenario = Callable[[Path, Path, int], float]
"""Plugin directory, directory for its addresses, round: the seconds one call took."""


def main() -> int:
    """Run every scenario and print the table."""
    options = _options()
    if INSIDE not in os.environ:
        return _again_inside()
    rows = [
        ("VERSION", *_compare(options, _version)),
        ("host-local ADD", *_compare(options, _host_local)),
        ("host-local ADD, 5,000 reservations", *_compare(options, _host_local_crowded)),
        ("bridge + host-local ADD", *_compare(options, _bridge_add)),
        ("bridge + host-local DEL", *_compare(options, _bridge_delete)),
        ("bridge + host-local ADD, ipMasq", *_compare(options, _bridge_masquerade)),
    ]
    print(f"{'scenario':34}{'ours ms':>10}{'reference ms':>14}{'ratio':>8}")
    for name, ours, reference in rows:
        print(f"{name:34}{ours:>10.1f}{reference:>14.1f}{ours / reference:>8.2f}")
    _print_imports(options)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="time the cold programs beside the reference ones")
    parser.add_argument("--rounds", type=int, default=15, help="calls of each program per scenario (default 15)")
    parser.add_argument("--reference", type=Path, default=Path(os.environ.get("REFERENCE", "/usr/lib/cni")))
    parser.add_argument("--ours", type=Path, default=ROOT / "dist" / "cni")
    return parser.parse_args()


def _again_inside() -> int:
    """Start this script again in its own network and mount namespaces."""
    command = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, *sys.argv]
    return subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode


def _compare(options: argparse.Namespace, scenario: Scenario) -> tuple[float, float]:
    """Return the medians in milliseconds, ours and the reference's, from calls made in turn."""
    sides = {"ours": options.ours, "ref": options.reference}
    times: dict[str, list[float]] = {side: [] for side in sides}
    with TemporaryDirectory() as directory:
        for round_number in range(options.rounds):
            for side, plugins in sides.items():
                times[side].append(scenario(plugins, Path(directory) / side, round_number))
    return statistics.median(times["ours"]) * 1000, statistics.median(times["ref"]) * 1000


def _call(plugins: Path, program: str, verb: str, netns: str, config: object) -> float:
    """Run one program once and return the seconds it took; its failure ends the bench with its answer."""
    environ = {
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": Path(netns).name,
        "CNI_NETNS": netns,
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(plugins),
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "TULLE_AGENT": "",  # never warm
    }
    stdin = json.dumps(config).encode()
    began = time.perf_counter()
    done = subprocess.run([plugins / program], input=stdin, env=environ, capture_output=True, check=False)
    taken = time.perf_counter() - began
    if done.returncode != 0:
        raise SystemExit(f"{plugins / program} {verb} failed: {done.stdout.decode()} {done.stderr.decode()}")
    return taken


def _config(data: Path, *, masquerade: bool = False) -> dict[str, object]:
    ipam = {"type": "host-local", "dataDir": str(data), "ranges": [[{"subnet": "10.99.0.0/16"}]]}
    name = "bench-" + data.name
    settings = {"bridge": name[:15], "isDefaultGateway": True, "ipMasq": masquerade, "ipMasqBackend": "nftables"}
    if not masquerade:
        del settings["ipMasqBackend"]
    return {"cniVersion": "1.0.0", "name": name, "type": "bridge", **settings, "ipam": ipam}


def _version(plugins: Path, _data: Path, number: int) -> float:
    return _call(plugins, "bridge", "VERSION", f"/x/{number}", {"cniVersion": "1.0.0"})


def _host_local(plugins: Path, data: Path, number: int) -> float:
    return _call(plugins, "host-local", "ADD", f"/x/c{number}", _config(data))


def _host_local_crowded(plugins: Path, data: Path, number: int) -> float:
    """Time an ADD beside 5,000 other attachments, whose reservations are written as the reference writes them."""
    crowd = data / "crowd"
    book = crowd / f"bench-{crowd.name}"
    if not book.exists():
        book.mkdir(parents=True)
        for other in range(5000):
            (book / f"10.99.{(other + 2) >> 8}.{(other + 2) & 255}").write_text(f"other{other}\r\neth0", newline="")
        (book / "last_reserved_ip.0").write_text("10.99.19.137")
    return _call(plugins, "host-local", "ADD", f"/x/c{number}", _config(crowd))


def _bridge_add(plugins: Path, data: Path, _number: int) -> float:
    with _container() as netns:
        taken = _call(plugins, "bridge", "ADD", netns, _config(data))
        _call(plugins, "bridge", "DEL", netns, _config(data))
    return taken


def _bridge_delete(plugins: Path, data: Path, _number: int) -> float:
    with _container() as netns:
        _call(plugins, "bridge", "ADD", netns, _config(data))
        return _call(plugins, "bridge", "DEL", netns, _config(data))


def _bridge_masquerade(plugins: Path, data: Path, _number: int) -> float:
    config = _config(data, masquerade=True)
    with _container() as netns:
        try:
            taken = _call(plugins, "bridge", "ADD", netns, config)
        except SystemExit:  # Debian's 1.1.1 knows iptables only
            del config["ipMasqBackend"]
            taken = _call(plugins, "bridge", "ADD", netns, config)
        _call(plugins, "bridge", "DEL", netns, config)
    return taken


@contextlib.contextmanager
def _container() -> Iterator[str]:
    """Hold a network namespace under a private path for the time of one attachment."""
    holder = subprocess.Popen(["unshare", "--net", "sleep", "60"])
    path = f"/proc/{holder.pid}/ns/net"
    own = os.stat("/proc/self/ns/net")
    try:
        while os.stat(path).st_ino == own.st_ino:  # until unshare has moved
            os.sched_yield()
        yield path
    finally:
        holder.kill()
        holder.wait()


def _print_imports(options: argparse.Namespace) -> None:
    """Say where a cold ADD's start-up goes: the time each distribution's or module's own code takes to import."""
    internal = options.ours.resolve().parent / "lib" / "_internal"
    start = [f"import sys; sys.path[:] = {[str(next(internal.glob('python3*')) / 'lib-dynload'), str(internal)]!r}"]
    loads = [
        "import cni.dispatch, cni.siblings",
        "import bridge.plugin",
        "import cni.invoke, ipam.plugin",
        "from kernel import encoding, decoding",
    ]
    command = [sys.executable, "-IS", "-X", "importtime", "-c", "\n".join([*start, *loads])]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.removeprefix("import time:").split("|") for line in shown.stderr.splitlines() if "|" in line]
    own: dict[str, float] = {}
    for micros, _, module in lines[1:]:
        group = module.strip().partition(".")[0]
        own[group] = own.get(group, 0) + int(micros) / 1000
    print("\nimports of a cold bridge, by package (ms of their own, inflated by the tracing itself):")
    for group, taken in sorted(own.items(), key=lambda item: -item[1])[:14]:
        print(f"  {taken:6.1f}  {group}")


if __name__ == "__main__":
    sys.exit(main())
