"""Claims about the turns requests take:

- a second request for the same attachment waits for the first, whichever process it is in; one for another does not
- who waits in vain is told to try again (11), and which process it waited for
- the end of a process is the end of its turn
- where no lock file can be, everything goes on without one, in silence
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cni.attachment_lock import AttachmentLock
from cni.errors import CniError

NAMES = ("bridge", "net", "c0ffee", "eth0")


@contextmanager
def another_process(path: Path, *names: str) -> Iterator[int]:
    """Have another process hold the turn of `names` for the time of the block; yield its number."""
    heard, said = os.pipe()
    child = os.fork()
    if child == 0:
        with AttachmentLock(*names, folder=str(path)):
            os.write(said, b"!")
            signal.pause()
    os.read(heard, 1)
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(heard)
        os.close(said)


def test_the_same_attachment_waits_in_vain_and_is_told_so(tmp_path: Path) -> None:
    lock = tmp_path / "run" / "lock"
    with (
        another_process(lock, *NAMES) as other,
        pytest.raises(CniError, match="another request for this container and interface") as refused,
        AttachmentLock(*NAMES, folder=str(lock), patience=0.02),
    ):
        pass
    assert refused.value.code == 11
    assert f"held by process {other} (" in refused.value.remedy


def test_a_turn_in_the_same_process_counts_as_well(tmp_path: Path) -> None:
    lock = str(tmp_path / "lock")
    with AttachmentLock(*NAMES, folder=lock), pytest.raises(CniError), AttachmentLock(*NAMES, folder=lock, patience=0):
        pass


def test_another_attachment_does_not_wait(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with another_process(lock, *NAMES), AttachmentLock(*NAMES[:3], "eth1", folder=str(lock), patience=0):
        pass


def test_the_end_of_a_process_ends_its_turn(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with another_process(lock, *NAMES):
        pass
    with AttachmentLock(*NAMES, folder=str(lock), patience=0):
        pass


def test_without_a_place_for_the_lock_all_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with AttachmentLock(*NAMES, folder=str(tmp_path / "file" / "lock"), patience=0):
        pass


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    lock = str(tmp_path / "lock")
    with AttachmentLock(*NAMES, folder=lock), pytest.raises(CniError), AttachmentLock(*NAMES, folder=lock, patience=0):
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before
