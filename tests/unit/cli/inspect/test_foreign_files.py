"""Claims about files that others wrote: a regular file of a sensible size is read; whatever else lies there ends at once, in words."""

import os
import socket
from pathlib import Path

import pytest

from cli.inspect import foreign_files


def fifo(path: Path) -> None:
    os.mkfifo(path)


def zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def listener(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


def folder(path: Path) -> None:
    path.mkdir()


def loop(path: Path) -> None:
    path.symlink_to(path)


def gigabyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30)


def deep(path: Path) -> None:
    path.write_text("[" * 200_000)


def endless(path: Path) -> None:
    path.write_text('{"cniVersion": 1' + "0" * 5000 + "}")


def strange(path: Path) -> None:
    path.write_bytes(b'{"a": "\xff\xfe"}')


@pytest.mark.parametrize("make", [fifo, zeros, listener, folder, loop, gigabyte, deep, endless, strange])
def test_what_is_no_document_ends_at_once_in_words(
    make: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert callable(make)
    make(tmp_path / "it")
    with pytest.raises((OSError, foreign_files.Unfit)) as refused:
        foreign_files.document(tmp_path / "it")
    assert str(refused.value)


def test_a_document_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "it").write_text('{"a": [1, "ü"]}')
    assert foreign_files.document(tmp_path / "it") == {"a": [1, "ü"]}


def test_a_path_with_a_null_byte_is_none() -> None:
    with pytest.raises(foreign_files.Unfit, match="no path"):
        foreign_files.content(Path("a\0b"))


def test_the_null_device_is_an_empty_file() -> None:
    assert foreign_files.content(Path("/dev/null")) == b""
