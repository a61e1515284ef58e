"""Adds and deletes attachments by the thousand and counts what is left (`make soak`, SOAK=N).

N pairs of host-local and a twentieth of bridge run through the real skeleton, in process for speed; of every fifty calls one
runs the built program. Some twenty attachments live at a time, some DELs come twice, some without their namespace. Files, links, rules,
addresses and descriptors are counted once everything that outlives attachments is there, and again at the end.
Everything happens in network and mount namespaces of its own. Blind spot: one runtime that asks for one thing at a time.

    python -m tests.soak [N]
"""

import io
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bridge.program import PROGRAM as BRIDGE
from cni import skel
from cni.program import Program
from ipam.host_local import PROGRAM as HOST_LOCAL
from kernel.netlink.handle import Handle
from tests.netns.spaces import Space

BUILT = Path(__file__).resolve().parent.parent / "dist" / "cni"
INSIDE = "TULLE_SOAK_INSIDE"
ALIVE = 20
BUILT_SHARE = 50
LEASE = "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n"
LASTING = re.compile(r"lock|last_reserved_ip\.[0-9]+|subnet\.env|xtables\.lock")
"""Files that outlive attachments and name none; what an address book hides beside itself is no exception."""


class Leftover(Exception):  # noqa: N818 - what it is, is what it is called
    """Something failed, or is left; the text is for the person at the terminal."""


@dataclass
class Runtime:
    """A runtime that calls one program for one network, and remembers who is attached."""

    program: Program
    config: Mapping[str, Any]
    alive: list[tuple[str, Space | None]] = field(default_factory=list)
    calls: int = 0

    def add(self, container: str, space: Space | None) -> None:
        self._call("ADD", container, space.path if space else "/none")
        self.alive.append((container, space))

    def delete(self, chance: random.Random) -> None:
        """Delete any one of those alive; one in ten without its namespace, one in ten twice."""
        container, space = self.alive.pop(chance.randrange(len(self.alive)))
        gone = chance.random() < 0.1
        if space is not None and gone:
            space.close()
        for _ in range(2 if chance.random() < 0.1 else 1):
            self._call("DEL", container, space.path if space and not gone else "")
        if space is not None and not gone:
            space.close()

    def _call(self, verb: str, container: str, netns: str) -> None:
        self.calls += 1
        environ = {"CNI_COMMAND": verb, "CNI_CONTAINERID": container, "CNI_IFNAME": "eth0", "CNI_NETNS": netns}
        environ |= {"CNI_PATH": str(BUILT), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        serve = _as_a_process if self.calls % BUILT_SHARE == 0 else _in_process
        status, said = serve(self.program, environ, json.dumps(self.config).encode())
        if status != 0:
            raise Leftover(f"{self.program.name} {verb} {container} failed: {said}")


def _in_process(program: Program, environ: Mapping[str, str], config: bytes) -> tuple[int, str]:
    out, log = io.StringIO(), io.StringIO()
    status = skel.run(program, environ=environ, stdin=io.BytesIO(config), stdout=out, stderr=log)
    return status, out.getvalue() + log.getvalue()


def _as_a_process(program: Program, environ: Mapping[str, str], config: bytes) -> tuple[int, str]:
    done = subprocess.run([BUILT / program.name], env=environ, input=config, capture_output=True, check=False)
    return done.returncode, (done.stdout + done.stderr).decode()


def networks(folder: Path) -> tuple[Runtime, Runtime, Runtime]:
    """Return host-local on its own, bridge on a lease that masquerades, and bridge on ranges of its own."""
    (folder / "subnet.env").write_text(LEASE)
    plain = {"type": "host-local", "dataDir": str(folder / "networks")}
    lone = {"cniVersion": "1.0.0", "name": "soak-lone", "ipam": {**plain, "subnet": "10.99.0.0/16"}}
    leased = {"name": "soak-lease", "bridge": "soak0", "ipMasq": True, "ipMasqBackend": "nftables"}
    leased |= {"subnetFile": str(folder / "subnet.env"), "ipam": {**plain, "dataDir": str(folder / "books")}}
    ranged = {"name": "soak-range", "bridge": "soak1", "isDefaultGateway": True}
    sets = [[{"subnet": "10.98.0.0/24"}], [{"subnet": "fd00:98::/64"}]]
    ranged |= {"ipam": {**plain, "ranges": sets, "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}
    return (
        Runtime(HOST_LOCAL, lone),
        Runtime(BRIDGE, {"cniVersion": "1.0.0", "type": "bridge", **leased}),
        Runtime(BRIDGE, {"cniVersion": "1.0.0", "type": "bridge", **ranged}),
    )


def live(runtime: Runtime, pairs: int, chance: random.Random, report: Callable[[int], None], *, spaces: bool) -> None:
    """Make `pairs` attachments, never many at a time, and delete each of them."""
    for number in range(pairs):
        runtime.add(f"soak{number}", Space(f"soak{number}") if spaces else None)
        if len(runtime.alive) >= ALIVE:
            runtime.delete(chance)
        if (number + 1) % max(1, pairs // 10) == 0:
            report(number + 1)
    while runtime.alive:
        runtime.delete(chance)


def census(folder: Path) -> dict[str, list[str]]:
    """Return everything that could name an attachment, by kind."""
    places = (folder, Path("/run"))
    files = [str(path) for place in places for path in place.rglob("*") if not path.is_dir()]
    with Handle() as host:
        links = [f"{link.name} {link.kind} {link.alias}" for link in host.links()]
        addresses = [str(entry.address) for entry in host.addresses() if not entry.address.is_link_local]
    return {
        "files": sorted(path for path in files if not LASTING.fullmatch(Path(path).name)),
        "links": sorted(links),
        "addresses": sorted(addresses),
        "rules": _rules(),
        "descriptors": sorted(str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()),
    }


def _rules() -> list[str]:
    """Return every rule of both firewalls without its counters."""
    listings = (["nft", "list", "ruleset"], ["iptables-save"], ["ip6tables-save"])
    text = ""
    for command in listings:
        try:
            text += subprocess.run(command, capture_output=True, text=True, check=False).stdout
        except FileNotFoundError:
            continue
    lines = (re.sub(r"counter packets \d+ bytes \d+|\[\d+:\d+\]", "", line).strip() for line in text.splitlines())
    return sorted(line for line in lines if line and not line.startswith("#"))


def soak(pairs: int, folder: Path) -> list[str]:
    """Run it all and return a line for each thing that was not there before."""
    chance = random.Random(pairs)
    lone, leased, ranged = networks(folder)
    plan = ((lone, pairs, False), (leased, max(1, pairs // 40), True), (ranged, max(1, pairs // 40), True))
    for runtime, _, spaces in plan:  # what outlives attachments: bridges, base chains, cursors, locks
        live(runtime, 1, chance, lambda done: None, spaces=spaces)
    before = census(folder)
    for runtime, count, spaces in plan:
        live(runtime, count, chance, _reporter(runtime, count), spaces=spaces)
    after = census(folder)
    print("counted before and after: " + ", ".join(f"{len(before[kind])} {len(after[kind])} {kind}" for kind in before))
    return [f"{kind}: {each}" for kind in before for each in _more(before[kind], after[kind])]


def _more(before: list[str], after: list[str]) -> list[str]:
    """Return what `after` has more of than `before`."""
    left = list(after)
    for each in before:
        if each in left:
            left.remove(each)
    return left


def _reporter(runtime: Runtime, count: int) -> Callable[[int], None]:
    began = time.monotonic()

    def report(done: int) -> None:
        name = f"{runtime.program.name} ({runtime.config['name']})"
        print(f"{name:26} {done:6,} of {count:,} pairs, {time.monotonic() - began:4.0f} s", flush=True)

    return report


def main(arguments: list[str]) -> int:
    """Soak and return the exit code: 0 when nothing is left."""
    if INSIDE not in os.environ:
        alone = [
            "unshare",
            "--net",
            "--mount",
            "--propagation",
            "private",
            sys.executable,
            "-m",
            "tests.soak",
            *arguments,
        ]
        return subprocess.run(alone, env={**os.environ, INSIDE: "1"}, check=False).returncode
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="soak-")))
        subprocess.run(["mount", "-t", "tmpfs", "soak", "/run"], check=True)
        try:
            left = soak(int(arguments[0]) if arguments else 10_000, folder)
        except Leftover as failed:
            left = [str(failed)]
    for line in left:
        print(f"soak: left {line}" if ": " in line else f"soak: {line}", file=sys.stderr)
    print("soak: nothing is left" if not left else "soak: failed")
    return 1 if left else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
