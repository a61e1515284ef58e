"""Claims about host-local on file systems that take no writes, each mounted for the test in a private mount namespace.

* On a read-only book CHECK, and a DEL or GC that has nothing to release, succeed; also where the book has no lock.
* What has to be written says the path and the remedy: ADD, and the DEL of what is held, on a read-only book; ADD on a full disk.
* On a full disk DEL releases, and what only makes things quicker (index, cursor, stamp) refuses nothing.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.disks import Disk


class HostLocal(Disk):
    """A small disk, and host-local working there."""

    def ask(self, verb: str, container: str = "c1", **keys: Any) -> dict[str, Any]:
        """Return host-local's document, an empty one when it printed none."""
        ipam = {"type": "host-local", "subnet": "10.9.0.0/24", "dataDir": f"{self.folder}/networks"}
        config = {"cniVersion": "1.1.0", "name": "blue", "ipam": ipam, **keys}
        environ = {"CNI_COMMAND": verb, "CNI_CONTAINERID": container, "CNI_IFNAME": "eth0", "CNI_NETNS": "/none"}
        told = self.run(
            sys.executable, "-m", "build.entry", "host-local", check=False,
            env={**os.environ, **environ, "CNI_PATH": "/none"}, input=json.dumps(config),
        )  # fmt: skip
        document: dict[str, Any] = json.loads(told.stdout or "{}")
        return document


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[HostLocal]:
    made = HostLocal(tmp_path)
    yield made
    made.close()


def test_check_and_a_del_or_gc_of_nothing_succeed_on_a_read_only_book(disk: HostLocal) -> None:
    assert "ips" in disk.ask("ADD")
    disk.make_read_only()
    valid: dict[str, Any] = {"cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]}
    assert disk.ask("CHECK") == {}
    assert disk.ask("DEL", "never") == {}
    assert disk.ask("GC", **valid) == {}
    assert disk.ask("CHECK", "never")["code"] == 102


def test_a_read_only_book_needs_no_lock(disk: HostLocal) -> None:
    book = disk.folder / "networks" / "blue"
    disk.run("sh", "-c", f"mkdir -p {book} && printf 'c1\\r\\neth0' > {book}/10.9.0.7")
    disk.make_read_only()
    assert disk.ask("CHECK") == {}
    assert disk.ask("DEL", "never") == {}


@pytest.mark.parametrize("verb", ["ADD", "DEL", "GC"])
def test_what_must_be_written_says_that_the_disk_is_read_only(disk: HostLocal, verb: str) -> None:
    assert "ips" in disk.ask("ADD", "held")
    disk.make_read_only()
    nobody: dict[str, Any] = {"cni.dev/valid-attachments": []}
    answer = disk.ask(verb, "held" if verb == "DEL" else "c2", **nobody)
    assert (answer["code"], "Read-only file system" in answer["msg"]) == (5, True)
    assert f"{disk.folder}/networks/blue" in answer["msg"]
    assert "mount it read-write" in answer["remedy"]


def test_an_add_into_no_book_at_all_says_that_the_disk_is_read_only(disk: HostLocal) -> None:
    disk.make_read_only()
    answer = disk.ask("ADD")
    assert (answer["code"], "mount it read-write" in answer["remedy"]) == (5, True)
    assert disk.ask("DEL") == {}


def test_an_add_on_a_full_disk_says_so_and_leaves_nothing(disk: HostLocal) -> None:
    assert "ips" in disk.ask("ADD", "held")
    disk.fill()
    answer = disk.ask("ADD", "c2")
    assert (answer["code"], "No space left on device" in answer["msg"], "df -i" in answer["remedy"]) == (5, True, True)
    assert f"{disk.folder}/networks/blue" in answer["msg"]
    assert disk.run("ls", f"{disk.folder}/networks/blue").stdout.split() == ["10.9.0.2", "last_reserved_ip.0", "lock"]


def test_a_full_disk_refuses_no_del_and_no_check(disk: HostLocal) -> None:
    for number in range(6):
        assert "ips" in disk.ask("ADD", f"c{number}")
    disk.fill()
    assert [disk.ask(verb, "c1") for verb in ("CHECK", "DEL", "DEL")] == [{}, {}, {}]
    assert disk.ask("CHECK", "c1")["code"] == 102


def test_without_room_for_cursor_and_index_an_add_succeeds(disk: HostLocal) -> None:
    assert "ips" in disk.ask("ADD", "c0")
    folder = f"{disk.folder}/networks"
    disk.run(
        "sh", "-c", f"rm {folder}/blue/last_reserved_ip.0; mkdir {folder}/blue/last_reserved_ip.0 {folder}/.blue.index"
    )
    assert all("ips" in disk.ask("ADD", f"c{number}") for number in range(1, 6))
