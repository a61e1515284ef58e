"""The index beside a directory of claims.

Claims: it finds what was added and not removed, and nothing else, whatever the order; it is believed only as long as no name
in the directory came or went behind its back, however soon after; damaged, foreign or from another boot it is not believed;
one that says little leaves no file; what it cannot hold it is not made for.
"""

import os
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipam import index
from ipam.claims import Reservation
from ipam.index import Index

PATH = "../.blue.index"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "blue").mkdir()
    descriptor = os.open(tmp_path / "blue", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def saved(directory: int) -> Index:
    made = Index()
    made.add("10.1.2.2", "abc\r\neth0")
    for number in range(index.FEW):
        made.add(f"10.9.9.{number}", f"other{number}\r\neth0")
    index.save(made, PATH, directory)
    return made


def names(found: Index | None, text: str = "abc\r\neth0") -> list[str] | None:
    return None if found is None else list(found.names(text))


WORD = st.sampled_from(["a", "b", "ab", "eth0", "10.0.0.1"])
TEXT = st.builds("\r\n".join, st.lists(WORD, min_size=1, max_size=3))
NAME = st.integers(1, 5).map(lambda number: f"10.0.0.{number}")


@given(st.lists(st.tuples(NAME, st.none() | TEXT)), TEXT)
def test_finds_what_was_added_and_not_removed(steps: list[tuple[str, str | None]], wanted: str) -> None:
    found, model = Index(), dict[str, str]()
    for name, text in steps:
        found.remove(name)
        model.pop(name, None)
        if text is not None:
            found.add(name, text)
            model[name] = text
    assert sorted(found.names(wanted)) == sorted(name for name, text in model.items() if text == wanted)
    reservations = [Reservation(name, ip_address(name), text) for name, text in model.items()]
    again = index.of(reservations)
    assert again is not None
    assert sorted(again.content.splitlines()) == sorted(found.content.splitlines())


def test_what_was_saved_is_believed(directory: int) -> None:
    saved(directory)
    assert names(index.load(PATH, directory)) == ["10.1.2.2"]


@pytest.mark.parametrize("change", ["create", "remove", "rename", "link"])
def test_any_change_right_behind_its_back_ends_the_belief(tmp_path: Path, directory: int, change: str) -> None:
    victim = tmp_path / "blue" / "10.1.2.2"
    victim.touch()
    for _ in range(50):
        victim.touch()
        saved(directory)
        match change:
            case "create":
                (tmp_path / "blue" / "10.1.2.3").touch(exist_ok=False)
            case "remove":
                victim.unlink()
            case "rename":
                victim.rename(tmp_path / "blue" / "10.1.2.3")
            case _:
                (tmp_path / "blue" / "10.1.2.3").hardlink_to(victim)
        assert index.load(PATH, directory) is None
        (tmp_path / "blue" / "10.1.2.3").unlink(missing_ok=True)


def test_a_second_lookers_read_changes_nothing(tmp_path: Path, directory: int) -> None:
    (tmp_path / "blue" / "10.1.2.2").write_bytes(b"abc\r\neth0")
    saved(directory)
    (tmp_path / "blue" / "10.1.2.2").read_bytes()
    list((tmp_path / "blue").iterdir())
    assert index.load(PATH, directory) is not None


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data + b"10.1.2.9 x eth0\n",
        lambda data: b"x" * 36 + data[36:],
        lambda data: b"\0" * len(data),
        lambda data: data.partition(b"\n")[0],
    ],
    ids=["empty", "cut", "longer", "another boot", "zeros", "header alone"],
)
def test_a_damaged_one_is_not_believed(tmp_path: Path, directory: int, damage: object) -> None:
    saved(directory)
    file = tmp_path / ".blue.index"
    assert callable(damage)
    file.write_bytes(damage(file.read_bytes()))
    assert index.load(PATH, directory) is None


def test_a_directory_time_within_a_tick_of_the_indexs_is_not_believed(tmp_path: Path, directory: int) -> None:
    saved(directory)
    moment = os.fstat(directory).st_mtime_ns
    os.utime(tmp_path / ".blue.index", ns=(moment + index.TICK, moment + index.TICK))
    assert index.load(PATH, directory) is None


def test_a_link_in_its_place_is_not_followed(tmp_path: Path, directory: int) -> None:
    (tmp_path / "precious").write_bytes(b"kept")
    (tmp_path / ".blue.index").symlink_to(tmp_path / "precious")
    saved(directory)
    assert index.load(PATH, directory) is None
    assert (tmp_path / "precious").read_bytes() == b"kept"


def test_one_that_says_little_leaves_no_file(tmp_path: Path, directory: int) -> None:
    emptied = saved(directory)
    emptied.remove("10.1.2.2")
    index.save(emptied, PATH, directory)
    assert [each.name for each in tmp_path.iterdir()] == ["blue"]


@pytest.mark.parametrize("path", ["old/10.1.2.9", "my notes", "n\noise", "caf\udce9"])
def test_what_it_cannot_hold_it_is_not_made_for(path: str) -> None:
    assert index.of([Reservation(path, None, "abc")]) is None
