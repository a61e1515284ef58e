"""Claims about the real aardvark-dns over a folder, in a namespace of its own:

- it listens when a start returns; the next time the same one reads the folder anew
- an end returns when it is gone, and may be repeated
- a pid that belongs to somebody else by now is left alone; a server whose pid is nowhere is found all the same
- the server of another network namespace is not ours
- neither is who has only its command line: another user's process, its number beside the files or not; another program, a copy of it
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_interface
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from driver import name_server
from driver.name_server import PID, NameServer
from kernel import netns
from kernel.netlink.requests import AddAddress
from tests.lab.hosts import LAB
from tests.lab.waiting import until
from tests.netns.spaces import Space

PODMANS = "/usr/lib/podman"
GATEWAY = "10.42.7.1"


@pytest.fixture
def server(host: Space, tmp_path: Path) -> Iterator[NameServer]:
    host.network.apply(AddAddress(host.index("lo"), ip_interface(f"{GATEWAY}/24")))
    write(tmp_path, "one")
    made = NameServer(str(tmp_path), 0, {"PATH": "/usr/bin:/bin"}, "/none")
    with netns.inside(host.namespace):
        yield made
        made.end()


def write(folder: Path, name: str) -> None:
    (folder / "podman-web").write_text(f"{GATEWAY}\n{'1' * 64} 10.42.7.2  {name}\n")


def says(host: Space, name: str) -> bool:
    """Tell whether the server has the address for a name."""
    full = f"{name}.dns.podman"
    ask = (sys.executable, "-IS", str(LAB / "names.py"), "ask", GATEWAY, "A", full)
    return bool(json.loads(host.run(*ask)) == {full: ["10.42.7.2"]})


def pid(server: NameServer) -> str:
    return (Path(server.folder) / PID).read_text()


def test_it_listens_when_a_start_returns(server: NameServer, host: Space) -> None:
    server.serve()

    assert says(host, "one")


def test_the_next_time_the_same_one_reads_the_folder_anew(server: NameServer, host: Space, tmp_path: Path) -> None:
    server.serve()
    first = pid(server)
    write(tmp_path, "two")
    server.serve()

    assert pid(server) == first
    until(lambda: says(host, "two"), "the server has read its folder again")


def test_an_end_returns_when_it_is_gone(server: NameServer, tmp_path: Path) -> None:
    server.serve()
    server.end()
    server.end()

    assert not server.reload()
    assert [file.name for file in tmp_path.iterdir()] == ["podman-web"]


def test_a_pid_that_is_somebody_elses_by_now_is_left_alone(server: NameServer, host: Space) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as other:
        (Path(server.folder) / PID).write_text(str(other.pid))
        server.serve()
        other.communicate()

    assert other.returncode == 0
    assert says(host, "one")


@pytest.mark.parametrize("written", ["", "no number"])
def test_a_server_whose_pid_is_nowhere_is_found(
    server: NameServer, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    monkeypatch.setattr(name_server, "PLACES", (PODMANS,))  # the newer one is a script here, which runs the loader
    server.serve()
    (Path(server.folder) / PID).write_text(written)

    assert server.reload()


def test_the_server_of_another_namespace_is_not_ours(server: NameServer, make_space: Callable[[str], Space]) -> None:
    server.serve()

    with netns.inside(make_space("other").namespace):
        assert not server.reload()
    assert server.reload()


STRANGERS = {
    "another user's process": ("setpriv", "--reuid=65534", "--clear-groups", "cat"),
    "another user's process that nobody may look into": ("setpriv", "--reuid=65534", "--clear-groups", "unread"),
    "another program": ("cat",),
    "a copy of another program under its name": ("aardvark-dns",),
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder whose programs any user may start."""
    with TemporaryDirectory(dir="/dev/shm") as path:
        Path(path).chmod(0o711)
        yield Path(path)


@contextmanager
def stranger(server: NameServer, folder: Path, *words: str) -> Iterator[str]:
    """Run a program that waits for its stdin with a server's command line, and yield its pid."""
    for name, mode in (("aardvark-dns", 0o755), ("unread", 0o711)):  # who may not read a program may not look into it
        shutil.copy(shutil.which("cat") or "", folder / name)
        (folder / name).chmod(mode)
    program = words[-1] if words[-1] == "cat" else str(folder / words[-1])
    says = f"exec -a aardvark-dns {program} -- - --config {server.folder}"
    with subprocess.Popen(
        [*words[:-1], "bash", "-c", says], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as job:
        assert job.stdin is not None
        assert job.stdout is not None
        job.stdin.write(b"here\n")
        job.stdin.flush()
        assert job.stdout.readline() == b"here\n"
        yield str(job.pid)
        assert job.poll() is None
        job.kill()


@pytest.mark.parametrize("words", STRANGERS.values(), ids=STRANGERS)
def test_whoever_has_only_its_command_line_is_not_a_server(
    server: NameServer, host: Space, folder: Path, words: tuple[str, ...]
) -> None:
    with stranger(server, folder, *words):
        server.serve()
        assert says(host, "one")
        server.end()


def test_another_users_process_is_no_server_though_its_number_stands_beside_the_files(
    server: NameServer, host: Space, folder: Path
) -> None:
    with stranger(server, folder, "setpriv", "--reuid=65534", "--clear-groups", "cat") as pid:
        (Path(server.folder) / PID).write_text(pid)
        server.serve()
        assert says(host, "one")
        server.end()
