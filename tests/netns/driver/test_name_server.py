"""Claims about the real aardvark-dns over a folder, in a namespace of its own:

- it listens when a start returns; the next time the same one reads the folder anew
- an end returns when it is gone, and may be repeated
- a pid that belongs to somebody else by now is left alone; a server whose pid is nowhere is found all the same
- the server of another network namespace is not ours
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from ipaddress import ip_interface
from pathlib import Path

import pytest

from driver.name_server import PID, NameServer
from kernel import namespaces
from kernel.requests import AddAddress
from tests.lab.hosts import LAB
from tests.lab.waiting import until
from tests.netns.spaces import Space

GATEWAY = "10.42.7.1"


@pytest.fixture
def server(host: Space, tmp_path: Path) -> Iterator[NameServer]:
    host.network.apply(AddAddress(host.index("lo"), ip_interface(f"{GATEWAY}/24")))
    write(tmp_path, "one")
    made = NameServer(str(tmp_path), 0, {"PATH": "/usr/bin:/bin"}, "/none")
    with namespaces.inside(host.namespace):
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
def test_a_server_whose_pid_is_nowhere_is_found(server: NameServer, written: str) -> None:
    server.serve()
    (Path(server.folder) / PID).write_text(written)

    assert server.reload()


def test_the_server_of_another_namespace_is_not_ours(server: NameServer, make_space: Callable[[str], Space]) -> None:
    server.serve()

    with namespaces.inside(make_space("other").namespace):
        assert not server.reload()
    assert server.reload()
