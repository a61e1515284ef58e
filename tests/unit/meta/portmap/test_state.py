"""Claims about meta.portmap.state: what is remembered is recalled until it is forgotten; junk is nothing; strangers go by network.

* What the disk refuses is told with the file, and leaves nothing half written; so does a kill, after the next DEL or GC.
* Whether nothing remembered means nothing published is told by whether the directory, or what it would be made in, takes writes.
"""

from pathlib import Path

import pytest

from cni.attachment_id import AttachmentID
from meta.portmap import state
from meta.portmap.state import Memories, Memory

ONE, TWO, ELSEWHERE = (
    AttachmentID("net", "c1", "eth0"),
    AttachmentID("net", "c2", "eth0"),
    AttachmentID("other", "c1", "eth0"),
)


def kept(owner: AttachmentID) -> Memory:
    return Memory(owner.alias, "boot", "nftables", named_link=True)


def memories(folder: Path, said: list[str] | None = None) -> Memories:
    return Memories(str(folder), (said if said is not None else []).append)


def test_what_is_remembered_is_recalled_until_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "er"
    made = memories(folder)
    for _ in range(2):
        made.remember(ONE, kept(ONE))
    assert (made.recall(ONE.mark), made.recall(TWO.mark)) == (kept(ONE), None)
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / ONE.mark)] == [0o700, 0o600]
    for _ in range(2):
        made.forget(ONE)
    assert list(folder.iterdir()) == []


def test_junk_is_nothing(tmp_path: Path) -> None:
    for junk in ("", "{", "[]", "{}", '{"attachment": 5}', "[" * 200_000, '{"boot": ' + "1" * 5000 + "}"):
        (tmp_path / ONE.mark).write_text(junk)
        assert memories(tmp_path).recall(ONE.mark) is None
    (tmp_path / TWO.mark).symlink_to("/etc/passwd")
    assert memories(tmp_path).recall(TWO.mark) is None


def test_strangers_of_one_network_are_forgotten(tmp_path: Path) -> None:
    memories(tmp_path / "absent").forget_strangers("net", [])
    made = memories(tmp_path)
    for owner in (ONE, TWO, ELSEWHERE):
        made.remember(owner, kept(owner))
    (tmp_path / f".{TWO.mark}").write_text("killed while writing")
    made.forget_strangers("net", [ONE])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([ONE.mark, ELSEWHERE.mark])


def test_a_refused_rename_is_told_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / ONE.mark / "in the way").mkdir(parents=True)
    memories(tmp_path, said).remember(ONE, kept(ONE))
    assert [path.name for path in tmp_path.iterdir()] == [ONE.mark]
    assert len(said) == 1
    assert f"{tmp_path}/.{ONE.mark}: Is a directory" in said[0]


def test_a_directory_that_cannot_be_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "file").touch()
    memories(tmp_path / "file" / "x", said).remember(ONE, kept(ONE))
    assert f"portmap's memory {tmp_path}/file/x: Not a directory" in said[0]


def test_what_a_kill_left_half_written_goes_with_its_attachment(tmp_path: Path) -> None:
    (tmp_path / f".{ONE.mark}").write_text('{"atta')
    memories(tmp_path).forget(ONE)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_could_be_made_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, _: path == str(tmp_path))
    assert memories(tmp_path / "not" / "yet").serve
    (tmp_path / "not").mkdir()
    assert not memories(tmp_path / "not" / "yet").serve


def test_the_boot_is_told() -> None:
    assert len(state.current_boot()) == 36
