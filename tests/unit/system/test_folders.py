"""Claims about folders:

- a new one has its mode whatever the umask, and missing ones above it are for everybody to look into and nobody to write
- one that is there keeps its mode; a file in its place is an error
"""

import os
from pathlib import Path

import pytest

from system import folders


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077], ids=oct)
@pytest.mark.parametrize("mode", [0o700, 0o755], ids=oct)
def test_a_new_one_has_its_mode_whatever_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        folders.make(str(tmp_path / "a" / "b" / "c"), mode)
    finally:
        os.umask(before)
    assert [(tmp_path / each).stat().st_mode & 0o777 for each in ("a", "a/b", "a/b/c")] == [0o755, 0o755, mode]


def test_one_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir(0o711)
    folders.make(str(tmp_path / "there"))
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o711


def test_a_file_in_its_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        folders.make(str(tmp_path / "file"))
    with pytest.raises(NotADirectoryError):
        folders.make(str(tmp_path / "file" / "below"))


def test_where_no_folder_can_be_made_that_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        folders.make("/proc/nowhere/below")
