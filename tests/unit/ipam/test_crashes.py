"""Claims about host-local after power failures: nothing was synced, so any of it may be lost, in the worst ways file systems know.

A journal keeps names in order and loses the last ones; what a file says is there, or is of zero length, or null bytes. Seeded.

* Whatever a failure left, no address is given to two containers of the boot after it, and every address of the pool can be given,
  by ADD alone: no DEL of the dead, no tool. With and without a lease, also after several failures in a row.
* A container that lives keeps its address, whatever lies beside it. DEL and GC of the dead succeed, and free nothing of the living.
* Cursor, index and lock may be anything.
"""

import random
import shutil
from ipaddress import ip_interface
from pathlib import Path

import pytest

from cni.errors import CniError, Code
from ipam import boot
from tests.unit.ipam.test_plugin import Host

POOL = 29  # 10.42.7.0/27 without network, broadcast and gateway
RANGE = {"ranges": [[{"subnet": "10.42.7.0/27"}]]}
FATES = ("whole", "whole", "empty", "null bytes")


class Machine(Host):
    """A host that can lose its power: `boot` counts its boots."""

    def __init__(self, folder: Path, seed: int, *, leased: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder)
        self.chance = random.Random(seed)
        self.lease.write_text(
            "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.7.1/27\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
        )
        self.ipam: dict[str, object] = {**self.leased} if leased else {**RANGE}
        self.book = "10.42.7.0-27" if leased else "blue"
        self.boots = 0
        self.living: dict[str, str] = {}
        self.names = 0
        monkeypatch.setattr(boot, "machine", lambda: b"0" * 32)
        monkeypatch.setattr(boot, "current", lambda: b"%08x-0000-4000-8000-000000000000" % self.boots)

    def start(self) -> bool:
        """Start a container; tell whether there was an address for it."""
        self.names += 1
        name = f"c{self.boots}.{self.names}"
        try:
            (given,) = self.given(self.ipam, name)
        except CniError as refused:
            if refused.code != Code.NO_ADDRESS:
                raise
            return False
        address = str(ip_interface(given).ip)
        assert address not in self.living.values()
        self.living[name] = address
        return True

    def stop(self) -> None:
        name = self.chance.choice(list(self.living))
        self.ask("DEL", self.ipam, name)
        del self.living[name]

    def work(self, steps: int) -> None:
        for _ in range(steps):
            if self.living and self.chance.random() < 0.3:
                self.stop()
            else:
                self.start()

    def fail(self) -> None:
        """Lose the power, and with it the last names that came and went, and what files say."""
        self.boots += 1
        self.living.clear()
        place = self.data / self.book
        kept = self.folder / "journal"
        shutil.rmtree(place)
        shutil.copytree(kept, place, copy_function=_with_attributes)
        for each in (*place.iterdir(), *self.data.glob(".*")):
            self._spoil(each)

    def journal(self) -> None:
        """Note what a failure would find of the names."""
        shutil.rmtree(self.folder / "journal", ignore_errors=True)
        shutil.copytree(self.data / self.book, self.folder / "journal", copy_function=_with_attributes)

    def _spoil(self, path: Path) -> None:
        content = path.read_bytes()
        match self.chance.choice(FATES):
            case "empty":
                _overwrite(path, b"")
            case "null bytes":
                _overwrite(path, bytes(len(content)))


def _overwrite(path: Path, content: bytes) -> None:
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(content)


def _with_attributes(source: str, target: str) -> str:
    return str(shutil.copy2(source, target))


@pytest.mark.parametrize("leased", [False, True], ids=["without a lease", "with a lease"])
@pytest.mark.parametrize("seed", range(12))
def test_after_any_power_failure_the_whole_pool_can_be_given_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, leased: bool
) -> None:
    machine = Machine(tmp_path, seed, leased=leased, monkeypatch=monkeypatch)
    for _ in range(4):
        machine.work(machine.chance.randrange(1, 25))
        machine.journal()
        machine.work(machine.chance.randrange(0, 6))
        machine.fail()
    while machine.start():
        pass
    assert len(machine.living) == POOL
    for name in list(machine.living):
        machine.ask("CHECK", machine.ipam, name)


@pytest.mark.parametrize("leased", [False, True], ids=["without a lease", "with a lease"])
def test_del_and_gc_of_the_dead_free_nothing_of_the_living(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leased: bool
) -> None:
    machine = Machine(tmp_path, 7, leased=leased, monkeypatch=monkeypatch)
    machine.work(25)
    machine.journal()
    dead = list(machine.living)
    machine.fail()
    machine.work(12)
    for name in dead:
        machine.ask("DEL", machine.ipam, name)
    living = [{"containerID": name, "ifname": "eth0"} for name in machine.living]
    machine.ask("GC", machine.ipam, top={"cni.dev/valid-attachments": living})
    assert machine.claims(machine.book) == sorted(machine.living.values())
    while machine.start():
        pass
    assert len(machine.living) == POOL
