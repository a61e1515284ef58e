"""Claims about meta.flannel.state.

* What is remembered of one interface is not another's, and comes back byte for byte; the reference's file stands in, and is never
  taken for ours; so does one under the name that an earlier version gave.
* Files are 0600 in a directory of 0700, replaced in one step; a draft that a kill left is nobody's and goes with its attachment.
* Forgetting what is not there is fine, also in a directory that is not; what the disk refuses is CniError 5 with the file.
* No link and no FIFO leads out of the directory or holds anybody up.
"""

import os
import stat
from pathlib import Path

import pytest

from cni.errors import CniError
from meta.flannel import state
from meta.flannel.state import Memory

ETH0 = Memory("c1", "eth0", b"zero")
ETH1 = Memory("c1", "eth1", b"one")


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return f"{tmp_path}/new/state"


def test_interfaces_of_one_container_are_told_apart(folder: str) -> None:
    for memory in (ETH0, ETH1):
        state.remember(folder, memory)
    assert [state.recall(folder, "c1", name) for name in ("eth0", "eth1", "eth2")] == [ETH0, ETH1, None]


def test_the_references_file_stands_in(folder: str) -> None:
    state.remember(folder, ETH1)
    Path(folder, "c1").write_bytes(b"theirs")
    assert state.recall(folder, "c1", "eth0") == Memory("c1", "", b"theirs")
    assert state.recall(folder, "c1", "eth1") == ETH1


def test_files_are_root_only(folder: str) -> None:
    before = os.umask(0)
    try:
        state.remember(folder, ETH0)
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
    assert stat.S_IMODE(Path(folder, "c1").stat().st_mode) == 0o600


def test_a_file_is_replaced_in_one_step(folder: str) -> None:
    state.remember(folder, ETH0)
    with Path(folder, "c1").open("rb") as reader:
        state.remember(folder, Memory("c1", "eth0", b"other"))
        assert reader.read() == b"zero\n"
    assert [path.name for path in Path(folder).iterdir()] == ["c1"]


def test_a_draft_is_nobodys_and_goes_with_its_attachment(folder: str) -> None:
    state.remember(folder, ETH1)
    Path(folder, ".c1").write_bytes(b"ha")
    assert state.memories(folder) == (ETH1,)
    assert state.recall(folder, "c1", "eth0") is None
    state.forget(folder, ETH0)
    assert [path.name for path in Path(folder).iterdir()] == ["c1:eth1"]


def test_everything_remembered_is_listed(folder: str) -> None:
    for memory in (ETH1, ETH0):
        state.remember(folder, memory)
    Path(folder, "c2").write_bytes(b"theirs")
    assert state.memories(folder) == (ETH0, ETH1, Memory("c2", "", b"theirs"))


def test_a_directory_that_is_not_there_remembers_nothing(folder: str) -> None:
    assert (state.memories(folder), state.recall(folder, "c1", "eth0")) == ((), None)
    state.forget(folder, ETH0)


def test_a_name_too_long_for_a_file_is_refused_by_add_alone(folder: str) -> None:
    memory = Memory("c" * 300, "eth0", b"")
    with pytest.raises(CniError, match="File name too long"):
        state.remember(folder, memory)
    assert state.recall(folder, memory.container_id, "eth0") is None
    state.forget(folder, memory)


def test_what_the_disk_refuses_is_told_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(CniError) as refusal:
        state.remember(f"{tmp_path}/state", ETH0)
    assert (refusal.value.code, f"{tmp_path}/state" in refusal.value.msg) == (5, True)


def test_a_file_that_cannot_be_put_in_place_leaves_no_draft(folder: str) -> None:
    Path(folder, "c1:eth1", "in the way").mkdir(parents=True)
    with pytest.raises(CniError, match="c1:eth1"):
        state.remember(folder, ETH1)
    assert [path.name for path in Path(folder).iterdir()] == ["c1:eth1"]


def test_a_file_under_the_name_an_earlier_version_gave_serves_until_the_next_add(folder: str) -> None:
    state.remember(folder, ETH1)
    Path(folder, "c1:eth0").write_bytes(b"earlier")
    assert state.recall(folder, "c1", "eth0") == Memory("c1", "eth0", b"earlier")
    state.remember(folder, ETH0)
    assert sorted(path.name for path in Path(folder).iterdir()) == ["c1", "c1:eth1"]
    Path(folder, "c1:eth0").write_bytes(b"earlier")
    state.forget(folder, ETH0)
    assert [path.name for path in Path(folder).iterdir()] == ["c1:eth1"]


def test_no_fifo_holds_anybody_up(folder: str) -> None:
    Path(folder).mkdir(parents=True)
    os.mkfifo(f"{folder}/c1:eth0")
    assert state.recall(folder, "c1", "eth0") is None


def test_no_link_leads_out_of_the_directory(folder: str, tmp_path: Path) -> None:
    Path(folder).mkdir(parents=True)
    (tmp_path / "outside").write_text("{}")
    Path(folder, "c1:eth0").symlink_to(tmp_path / "outside")
    with pytest.raises(CniError, match="c1:eth0"):
        state.recall(folder, "c1", "eth0")
