"""Claims about meta.state_dir: what is put is got; private and in place in one step; no name leads elsewhere; what cannot be is named."""

import os
from pathlib import Path

import pytest

from cni.errors import CniError
from meta.state_dir import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "a" / "b"), "tuning")


def test_what_is_put_is_got_and_private(folder: Folder) -> None:
    folder.put("x", b"one")
    folder.put("x", b"two")
    file = Path(folder.path) / "x"
    assert (folder.get("x"), folder.names()) == (b"two", ["x"])
    assert (Path(folder.path).stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)


def test_nothing_there_is_nothing_to_get_or_remove(folder: Folder) -> None:
    folder.remove("x")
    assert (folder.get("x"), folder.get("n" * 300), folder.names()) == (None, None, [])


def test_what_a_killed_writer_left_is_no_file_and_goes_with_it(folder: Folder) -> None:
    folder.put("x", b"one")
    (Path(folder.path) / ".x").write_bytes(b"tw")
    assert folder.names() == ["x"]
    folder.remove("x")
    assert list(Path(folder.path).iterdir()) == []


def test_only_a_regular_file_of_the_folder_is_read(folder: Folder) -> None:
    folder.put("x", b"one")
    os.mkfifo(f"{folder.path}/fifo")
    Path(f"{folder.path}/link").symlink_to("x")
    assert folder.get("fifo") is None
    with pytest.raises(CniError, match=r"tuning's memory .*link") as refused:
        folder.get("link")
    assert refused.value.code == 5


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CniError, match="flannel's memory") as refused:
        Folder(f"{tmp_path}/file/x", "flannel").put("x", b"")
    assert refused.value.code == 5
    assert "must be a directory writable for root" in refused.value.remedy
