"""Claims: a file is replaced as a whole, with its mode whatever the umask; a refusal leaves the old one and nothing else; a
killed writer's pending file is in nobody's way, a link in its place leads nowhere.
"""

import os
from pathlib import Path

import pytest

from system import atomic_file


def put(folder: Path, content: bytes = b"new", mode: int = 0o644) -> None:
    atomic_file.replace(str(folder / "file"), content, mode, pending=str(folder / ".pending"))


def names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def test_a_file_is_replaced_with_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old and longer")
    before = os.umask(0o077)
    try:
        put(tmp_path)
    finally:
        os.umask(before)
    assert ((tmp_path / "file").read_bytes(), (tmp_path / "file").stat().st_mode & 0o777) == (b"new", 0o644)
    assert names(tmp_path) == ["file"]


def test_a_refusal_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        put(tmp_path)
    assert names(tmp_path) == ["file"]


def test_a_killed_writers_pending_file_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".pending").write_bytes(b"half of something longer")
    put(tmp_path)
    assert ((tmp_path / "file").read_bytes(), names(tmp_path)) == (b"new", ["file"])


def test_a_link_in_place_of_the_pending_file_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / ".pending").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"):
        put(tmp_path)
    assert (tmp_path / "precious").read_bytes() == b"precious"
