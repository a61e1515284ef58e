"""Claims about the proof that nothing is left:

- only what is new and bears a name the world used counts: other programs' doings are theirs
- traces of several places add up
- a path that still exists and a process still in the world are named
"""

import os
from pathlib import Path

from tests.lab.traces import Traces, left, remains


def links(*names: str) -> Traces:
    return Traces(links=frozenset(names))


def test_a_new_link_with_a_name_of_ours_is_left_behind() -> None:
    assert left(links("lo"), links("lo", "tulle0"), links("lo", "tulle0")) == ["link tulle0"]


def test_what_was_there_before_is_not_ours() -> None:
    assert left(links("tulle0"), links("tulle0"), links("tulle0")) == []


def test_what_others_made_meanwhile_is_theirs() -> None:
    assert left(links("lo"), links("lo", "tulle0"), links("lo", "docker0")) == []


def test_every_kind_of_trace_is_named() -> None:
    ours = Traces(*(frozenset({"x"}) for _ in range(5)))

    assert left(Traces(), ours, ours) == ["link x", "network namespace x", "nft x", "mount on x", "file x"]


def test_traces_of_two_places_add_up() -> None:
    assert (links("a") | links("b")) == links("a", "b")


def test_a_path_that_still_exists_is_named(tmp_path: Path) -> None:
    assert remains("pid:[0]", [tmp_path, tmp_path / "gone"]) == [f"directory {tmp_path}"]


def test_a_process_still_in_the_world_is_named() -> None:
    world = str(Path("/proc/self/ns/pid").readlink())

    assert f"process {os.getpid()}" in remains(world, [])
