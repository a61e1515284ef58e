"""host-local killed in the middle of an ADD.

Claims: wherever the kill falls, the DEL that follows leaves no reservation, no blank or half file and nothing beside the
directory, and the next ADD gets an address. The kill falls before every single call that touches the disk (an audit hook of
the interpreter counts them), and at twenty random moments of the built program's life, the same fractions of it in every run.
"""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENVIRON = {"CNI_IFNAME": "eth0", "CNI_NETNS": "/none", "CNI_PATH": "/"}
LEASE = (
    "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.1.1/24\nFLANNEL_IPV6_NETWORK=fd00:42::/48\n"
    "FLANNEL_IPV6_SUBNET=fd00:42:0:1::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
)
LETHAL = """
import os, signal, sys
sys.path[:0] = [{root!r}, *{site!r}]
from ipam import disk, plugin
from ipam.host_local import PROGRAM
from cni import dispatch, skel

left = {count}

def die(event, args):
    global left
    if event in ("open", "os.mkdir", "os.link", "os.remove", "os.scandir", "os.setxattr", "os.utime", "fcntl.flock"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

if {old_kernel}:
    os.O_TMPFILE = os.O_DIRECTORY
sys.addaudithook(die)
skel.main(PROGRAM)
"""


class Victim:
    """One host with a lease for both families, and what is left on it."""

    def __init__(self, folder: Path, ours: Path) -> None:
        self.folder = folder
        self.ours = ours
        (folder / "subnet.env").write_text(LEASE)
        ipam = {"subnetFile": f"{folder}/subnet.env", "dataDir": f"{folder}/books"}
        self.stdin = json.dumps({"cniVersion": "1.1.0", "name": "blue", "ipam": ipam}).encode()

    def run(
        self, command: list[str | Path], verb: str, timeout: float = 30, container: str = "abc"
    ) -> subprocess.CompletedProcess[bytes]:
        environ = {**ENVIRON, "CNI_COMMAND": verb, "CNI_CONTAINERID": container}
        return subprocess.run(command, input=self.stdin, env=environ, capture_output=True, check=False, timeout=timeout)

    def delete(self) -> None:
        done = self.run([self.ours], "DEL")
        assert (done.returncode, done.stdout) == (0, b"")

    def add(self, container: str = "abc") -> Any:
        done = self.run([self.ours], "ADD", container=container)
        assert done.returncode == 0, done.stdout
        return json.loads(done.stdout)

    def lifetime(self) -> float:
        """Return how many seconds an undisturbed ADD takes here and now."""
        began = time.perf_counter()
        self.add()
        took = time.perf_counter() - began
        self.delete()
        return took

    def left_behind(self) -> list[str]:
        files = (each for each in self.folder.rglob("*") if each.is_file() and each.name != "subnet.env")
        return sorted(
            each.name for each in files if each.name != "lock" and not each.name.startswith("last_reserved_ip.")
        )


@pytest.fixture
def victim(tmp_path: Path, program: Callable[[str], Path]) -> Victim:
    return Victim(tmp_path, program("host-local"))


def _dies_at(victim: Victim, count: int, *, old_kernel: bool) -> bool:
    site = [entry for entry in sys.path if entry.endswith("site-packages")]
    code = LETHAL.format(root=str(ROOT), site=site, count=count, old_kernel=old_kernel)
    return victim.run([sys.executable, "-IS", "-c", code], "ADD").returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("old_kernel", "others"), [(False, 3), (True, 0)], ids=["O_TMPFILE, an index", "hidden name, none"]
)
def test_kill_before_every_call_that_touches_the_disk(victim: Victim, others: int, *, old_kernel: bool) -> None:
    for number in range(others):
        victim.add(f"other{number}")
    before = victim.left_behind()
    assert len(before) == (others * 2 + 1 if others else 0)  # two addresses each, and the index beside so many
    count = 0
    while _dies_at(victim, count, old_kernel=old_kernel):
        victim.delete()
        assert victim.left_behind() == before, f"killed before call {count}"
        count += 1
    assert count > 10
    assert len(victim.left_behind()) == len(before) + 2


@pytest.mark.parametrize("seed", range(20))
def test_kill_at_a_random_moment(victim: Victim, seed: int) -> None:
    moment = random.Random(seed).uniform(0.0, victim.lifetime())
    try:
        victim.run([victim.ours], "ADD", timeout=moment)
    except subprocess.TimeoutExpired:
        """subprocess.run has sent SIGKILL and reaped the process."""
    victim.delete()
    assert victim.left_behind() == []
    assert len(victim.add()["ips"]) == 2
