"""Claims about the register of names, over the real aardvark-dns in a namespace of its own:

- who enters learns whom to ask, and its names are answered; who is struck is not answered, and the last takes everything along
- what a killed one left half done is made good by the next: files that follow from ours, files that do not, a server not told
- a register that nobody could have written is begun anew
- trouble with the server is told once, and again when it is another
- whether names resolve, and why not, can be asked without changing anything
- many at once all enter
- who holds a lock of his own on its folder, as anybody can, holds nobody up; who waits in vain learns which process has the turn
"""

import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest

from driver import name_server, register
from driver.register import Register
from driver.zones import Entry, Zone
from kernel import netns
from kernel.netlink.requests import AddAddress, AddVeth, SetLink
from system import locks
from system.locks import Lock
from tests.lab.hosts import LAB
from tests.lab.waiting import until
from tests.netns.spaces import Space

GATEWAY = "10.42.7.1"
ZONE = Zone("podman-web", (ip_address(GATEWAY),))
Enter = Callable[[int], tuple[object, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "names"


@pytest.fixture
def names(host: Space, folder: Path) -> Iterator[Register]:
    host.network.apply(AddAddress(host.index("lo"), ip_interface(f"{GATEWAY}/24")))
    made = Register(str(folder), 0, {"PATH": "/usr/bin:/bin"})
    with netns.inside(host.namespace):
        yield made
        for number in range(1, 10):
            made.strike(entry(number).alias)
    assert [path.name for path in folder.rglob("*") if path.is_file()] == []


@pytest.fixture
def enter(names: Register, link: Callable[[int], None]) -> Enter:
    def one(number: int) -> tuple[object, str]:
        link(number)
        return names.enter(ZONE, entry(number))

    return one


@pytest.fixture
def link(host: Space, container: Space) -> Callable[[int], None]:
    """Give the host the link of a container."""

    def make(number: int) -> None:
        host.network.apply(AddVeth(f"host{number}", f"eth{number}", container.namespace))
        host.network.apply(SetLink(f"host{number}", alias=entry(number).alias))

    return make


def entry(number: int) -> Entry:
    alias = f"podman-web/{number}/eth0"
    return Entry(f"{number}" * 64, alias, (ip_address(f"10.42.7.{number + 1}"),), (f"name{number}",))


def settled(host: Space, said: dict[int, str]) -> bool:
    """Tell whether the server, which reads its folder in its own time, comes to say so of the numbers."""
    wanted = {f"name{number}.dns.podman": [text] for number, text in said.items()}
    ask = (sys.executable, "-IS", str(LAB / "names.py"), "ask", GATEWAY, "A", *wanted)
    until(lambda: json.loads(host.run(*ask)) == wanted, f"the server says {said}")
    return True


def test_who_enters_learns_whom_to_ask_and_is_answered_for(enter: Enter, host: Space) -> None:
    assert enter(1) == ((ip_address(GATEWAY),), "")
    assert enter(2) == ((ip_address(GATEWAY),), "")
    assert settled(host, {1: "10.42.7.2"})


def test_who_is_struck_is_not_answered_for(enter: Enter, names: Register, host: Space) -> None:
    enter(1), enter(2)
    names.strike(entry(1).alias)

    assert settled(host, {1: "NXDOMAIN", 2: "10.42.7.3"})


def test_a_strike_where_nobody_ever_entered_makes_nothing(names: Register, folder: Path) -> None:
    names.strike(entry(1).alias)

    assert not folder.exists()
    folder.mkdir()


def test_what_a_killed_one_left_half_done_is_made_good(enter: Enter, host: Space, folder: Path) -> None:
    enter(1)
    (folder / register.SERVED / "podman-web").unlink()
    for leftover in (folder / register.PENDING, folder / register.SERVED / register.PENDING):
        leftover.write_text("half a wo")
    (folder / register.SERVED / "podman-gone").write_text("10.66.0.1\n")
    enter(2)

    assert settled(host, {1: "10.42.7.2", 2: "10.42.7.3"})
    assert {path.name for path in (folder / register.SERVED).iterdir()} == {"podman-web", name_server.PID}


def test_a_strike_that_was_killed_is_repeated(enter: Enter, names: Register, host: Space, folder: Path) -> None:
    enter(1), enter(2)
    before = (folder / register.STATE).read_text()
    names.strike(entry(1).alias)
    after = (folder / register.STATE).read_text()
    (folder / register.STATE).write_text(before)
    names.strike("nobody")
    assert settled(host, {1: "10.42.7.2"})
    (folder / register.STATE).write_text(after)

    names.strike(entry(1).alias)
    assert settled(host, {1: "NXDOMAIN"})


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"zones": [{}], "trouble": ""}'])
def test_what_nobody_could_have_written_is_begun_anew(enter: Enter, host: Space, folder: Path, text: str) -> None:
    enter(1)
    (folder / register.STATE).write_text(text)
    enter(2)

    assert settled(host, {1: "NXDOMAIN", 2: "10.42.7.3"})


def test_trouble_is_told_once_and_again_when_it_is_another(
    enter: Enter, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(name_server, "PLACES", ())
    assert enter(1)[0] == ()
    assert enter(2) == ((), "")
    assert "not installed" in (register.trouble(str(folder)) or "")

    (tmp_path / "aardvark-dns").write_text("#!/bin/sh\necho no >&2; exit 1\n")
    (tmp_path / "aardvark-dns").chmod(0o755)
    monkeypatch.setattr(name_server, "PLACES", (str(tmp_path),))
    assert enter(3) == ((), f"{tmp_path}/aardvark-dns does not start: no")


def test_whether_names_resolve_can_be_asked(enter: Enter, names: Register, folder: Path) -> None:
    assert register.trouble(str(folder)) is None
    enter(1)
    assert register.trouble(str(folder)) == ""
    names._server.end()
    assert register.trouble(str(folder)) == "aardvark-dns, which answered for them, has ended"


def test_names_without_a_server_are_answered_by_the_next_one(
    enter: Enter, host: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setattr(name_server, "PLACES", ())
        enter(1)
    enter(2)

    assert settled(host, {1: "10.42.7.2"})


def test_many_at_once_all_enter(names: Register, link: Callable[[int], None], host: Space) -> None:
    numbers = range(1, 9)
    for number in numbers:
        link(number)
    with ThreadPoolExecutor(max_workers=8) as several:  # its threads begin where this one is
        told = list(several.map(lambda number: names.enter(ZONE, entry(number)), numbers))

    assert told == [((ip_address(GATEWAY),), "")] * 8
    assert settled(host, {number: f"10.42.7.{number + 1}" for number in numbers})


def test_a_lock_on_its_folder_holds_nobody_up(enter: Enter, names: Register, folder: Path) -> None:
    enter(1)
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    enter(2)
    os.close(held)


def test_who_waits_in_vain_learns_who_has_the_turn(
    names: Register, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = replace(names, locks=str(tmp_path / "locks"))
    monkeypatch.setattr(register, "PATIENCE", 0.01)
    with (
        Lock("names", locks.place(mine.folder), folder=mine.locks),
        pytest.raises(TimeoutError, match=f"held by process {os.getpid()} "),
    ):
        mine.enter(ZONE, entry(1))
