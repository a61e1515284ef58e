"""The stamp of a boot on a claim's file.

Claims: only a well-formed stamp of another boot makes a claim an earlier one's; no stamp, a damaged one or this boot's does
not; a file without room for a stamp is no failure.
"""

import os
from pathlib import Path

import pytest

from ipam import boot


@pytest.fixture
def descriptor(tmp_path: Path) -> int:
    return os.open(tmp_path, os.O_TMPFILE | os.O_RDWR)


def test_this_boot_has_an_id() -> None:
    assert boot.current().decode() == Path(boot.BOOT_ID).read_text().strip()


def test_a_stamp_of_this_boot_is_no_earlier_one(descriptor: int) -> None:
    boot.stamp(descriptor)
    assert os.getxattr(descriptor, boot.ATTRIBUTE) == boot.current() + b" " + boot.machine()
    assert not boot.is_earlier(descriptor, anywhere=True)


OTHER = b"00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("whose", "here"),
    [(b"", False), (b" ", False), (b" " + b"0" * 32, True), (b" " + b"1" * 32, False), (b" 0", False)],
)
def test_a_stamp_of_another_boot_is_an_earlier_one_here_only_with_this_machines_id(
    descriptor: int, monkeypatch: pytest.MonkeyPatch, whose: bytes, here: bool
) -> None:
    monkeypatch.setattr(boot, "machine", lambda: b"0" * 32)
    os.setxattr(descriptor, boot.ATTRIBUTE, OTHER + whose)
    assert (boot.is_earlier(descriptor, anywhere=True), boot.is_earlier(descriptor, anywhere=False)) == (True, here)


def test_a_machine_without_an_id_is_nobodys(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot, "machine", lambda: b"")
    os.setxattr(descriptor, boot.ATTRIBUTE, OTHER + b" ")
    assert not boot.is_earlier(descriptor, anywhere=False)


@pytest.mark.parametrize("content", ["uninitialized\n", "", "0" * 31])
def test_an_id_that_is_none_is_not_taken_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    (tmp_path / "machine-id").write_text(content)
    monkeypatch.setattr(boot, "_machine_told", lambda: boot._beginning(str(tmp_path / "machine-id"), 32))
    assert boot.machine() == b""


@pytest.mark.parametrize("stamp", [None, b"", b"yesterday"])
def test_no_stamp_and_a_damaged_one_tell_nothing(descriptor: int, stamp: bytes | None) -> None:
    if stamp is not None:
        os.setxattr(descriptor, boot.ATTRIBUTE, stamp)
    assert not boot.is_earlier(descriptor, anywhere=True)


def test_where_stamps_cannot_be_kept_nothing_is_known() -> None:
    reading, writing = os.pipe()
    boot.stamp(writing)
    assert not boot.is_earlier(writing, anywhere=True)
    os.close(reading)
    os.close(writing)
