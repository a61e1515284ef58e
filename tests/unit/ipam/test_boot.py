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
    assert os.getxattr(descriptor, boot.ATTRIBUTE) == boot.current()
    assert not boot.is_earlier(descriptor)


def test_a_stamp_of_another_boot_is_an_earlier_one(descriptor: int) -> None:
    os.setxattr(descriptor, boot.ATTRIBUTE, b"00000000-0000-4000-8000-000000000000")
    assert boot.is_earlier(descriptor)


@pytest.mark.parametrize("stamp", [None, b"", b"yesterday"])
def test_no_stamp_and_a_damaged_one_tell_nothing(descriptor: int, stamp: bytes | None) -> None:
    if stamp is not None:
        os.setxattr(descriptor, boot.ATTRIBUTE, stamp)
    assert not boot.is_earlier(descriptor)


def test_where_stamps_cannot_be_kept_nothing_is_known() -> None:
    reading, writing = os.pipe()
    boot.stamp(writing)
    assert not boot.is_earlier(writing)
    os.close(reading)
    os.close(writing)
