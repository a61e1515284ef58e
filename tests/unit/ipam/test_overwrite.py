"""Claims: a note says what was written last and nothing else, and leads nowhere else.

Not covered: a kill between the two steps, which leaves what its readers judge (test_index, test_disk).
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipam import overwrite


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("texts", [(b"new",), (b"a longer one", b"short"), (b"short", b"a longer one"), (b"x", b"")])
def test_a_note_says_what_was_written_last(texts: tuple[bytes, ...], directory: int, tmp_path: Path) -> None:
    for text in texts:
        overwrite.overwrite("note", text, directory)
    assert (tmp_path / "note").read_bytes() == texts[-1]


def test_only_root_may_read_a_new_note(directory: int, tmp_path: Path) -> None:
    overwrite.overwrite("note", b"", directory)
    assert (tmp_path / "note").stat().st_mode & 0o777 == 0o600


def test_a_link_in_its_place_is_refused(directory: int, tmp_path: Path) -> None:
    (tmp_path / "note").symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        overwrite.overwrite("note", b"x", directory)
    assert not (tmp_path / "elsewhere").exists()
