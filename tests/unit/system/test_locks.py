"""Claims about locks:

- one holder a byte; other bytes do not wait; the end of a process ends its lock
- who waits in vain learns which process has it, and for how long he waited
- nobody else can open what is locked, whatever the umask; a file that another user may have open is refused
- flock(2) of a file that others lock as well has an end, too
- a file system without locks grants everything
- names are kept apart by more than their text in a row
"""

import errno
import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from system import locks
from system.locks import Lock


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "run" / "locks")


@contextmanager
def another_process(folder: str, offset: int) -> Iterator[int]:
    """Have another process hold a lock for the time of the block; yield its number."""
    heard, said = os.pipe()
    child = os.fork()
    if child == 0:
        with Lock("file", offset, folder=folder):
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


def test_who_waits_in_vain_learns_who_has_it(folder: str) -> None:
    with (
        another_process(folder, 7) as other,
        pytest.raises(TimeoutError) as late,
        Lock("file", 7, patience=0.02, folder=folder),
    ):
        pass
    name = Path("/proc/self/comm").read_text().strip()
    assert late.value.strerror == f"{folder}/file: held by process {other} ({name}), for more than 0.02 s"


def test_it_is_told_without_being_taken(folder: str) -> None:
    with another_process(folder, 7):
        assert [locks.is_held("file", offset, folder=folder) for offset in (7, 8)] == [True, False]
    assert not locks.is_held("file", 7, folder=folder)
    with pytest.raises(FileNotFoundError):
        locks.is_held("absent", 7, folder=folder)


def test_another_byte_does_not_wait(folder: str) -> None:
    with another_process(folder, 7), Lock("file", 8, patience=0, folder=folder):
        pass


def test_the_end_of_a_process_ends_its_lock(folder: str) -> None:
    with another_process(folder, 7):
        pass
    with Lock("file", 7, patience=0, folder=folder):
        pass


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777], ids=oct)
def test_nobody_else_can_open_it_whatever_the_umask(folder: str, umask: int) -> None:
    before = os.umask(umask)
    try:
        with Lock("file", folder=folder):
            pass
    finally:
        os.umask(before)
    modes = [each.stat().st_mode & 0o777 for each in (Path(folder).parent, Path(folder))]
    assert modes == [0o755, 0o700]
    assert Path(folder, "file").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o602])
def test_a_file_that_others_may_open_is_refused(folder: str, mode: int) -> None:
    with Lock("file", folder=folder):
        Path(folder, "file").chmod(mode)
    with pytest.raises(PermissionError, match="another user may hold this lock"), Lock("file", folder=folder):
        pass


def test_a_link_in_its_place_is_refused(folder: str, tmp_path: Path) -> None:
    Path(folder).mkdir(parents=True)
    Path(folder, "file").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"), Lock("file", folder=folder):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_no_descriptor_stays_open(folder: str) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with Lock("file", folder=folder), pytest.raises(TimeoutError), Lock("file", patience=0, folder=folder):
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_lock_of_a_whole_file_has_an_end_too(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("w") as mine, path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match=f"{path}: held by process {os.getpid()} "):
            locks.lock_file(mine.fileno(), str(path), patience=0.01)
        fcntl.flock(other, fcntl.LOCK_UN)
        locks.lock_file(mine.fileno(), str(path), patience=0)


def test_a_file_system_without_locks_grants_everything() -> None:
    def refuse() -> None:
        raise OSError(errno.ENOLCK, "none here")

    locks.wait(refuse, 0, str)


def test_names_are_kept_apart() -> None:
    names = ("bridge", "net", "c0ffee", "eth0")
    places = {locks.place(*each) for each in (names, ("bridgen", "et", "c0ffee", "eth0"), names[:3], ("",), ())}
    assert len(places) == 4  # no name at all is the empty name
    assert all(0 <= place < 2**62 for place in places)
