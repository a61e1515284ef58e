"""Claims on disk.

Rows are those of docs/reference/cni.md 6. Claims: names, contents, modes and the lock are the reference's byte for byte; a reservation is exclusive and appears whole
or not at all, also where nameless files or /proc do not exist; files of zero length or null bytes are free under the lock; no symlink leads out of
the directory, no FIFO holds anybody up; what the disk refuses is code 5 with the path; a claim is found without reading every
file, also after somebody else's writes. A power failure is test_crashes'.
"""

import fcntl
import multiprocessing
import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from cni.errors import CniError
from ipam import claims, disk
from ipam.claims import Claim, Reservation
from ipam.disk import Directory
from system.ip import IPAddress

ME = Claim("abc", "eth0")
ADDRESS = IPv4Address("10.1.2.2")


@contextmanager
def opened(folder: Path, log: Callable[[str], object] = print) -> Iterator[Directory]:
    with disk.locked(str(folder / "blue"), log, create=True) as directory:
        yield directory


def reserve(folder: Path, address: IPAddress = ADDRESS, claim: Claim = ME) -> Reservation | None:
    with opened(folder) as directory:
        return directory.reserve(address, claim)


def found(folder: Path) -> tuple[Reservation, ...]:
    with opened(folder) as directory:
        return directory.reservations()


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=["O_TMPFILE", "hidden name"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test also as on a file system without nameless files: the kernel then sees a folder opened for writing."""
    if request.param == "hidden name":
        monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY)


@pytest.mark.usefixtures("either_way")
def test_reservation_has_the_references_name_content_and_mode(tmp_path: Path) -> None:
    reserve(tmp_path)
    reserve(tmp_path, IPv6Address("2001:DB8:0:0::2"))
    assert (tmp_path / "blue" / "10.1.2.2").read_bytes() == b"abc\r\neth0"
    assert mode(tmp_path / "blue" / "10.1.2.2") == 0o600
    assert names(tmp_path / "blue") == ["10.1.2.2", "2001:db8::2", "lock"]
    assert names(tmp_path) == ["blue"]


@pytest.mark.usefixtures("either_way")
def test_reservation_is_exclusive(tmp_path: Path) -> None:
    assert reserve(tmp_path) == Reservation("10.1.2.2", ADDRESS, "abc\r\neth0")
    assert reserve(tmp_path, claim=Claim("other", "eth0")) is None
    assert [each.text for each in found(tmp_path)] == ["abc\r\neth0"]


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("content", [b"", bytes(9), bytes(4096)])
def test_row_4_what_a_power_failure_leaves_is_free_under_the_lock(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "blue").mkdir()
    (tmp_path / "blue" / "10.1.2.2").write_bytes(content)
    assert found(tmp_path)[0].vacant
    assert reserve(tmp_path) is not None
    assert (tmp_path / "blue" / "10.1.2.2").read_bytes() == b"abc\r\neth0"


@pytest.mark.usefixtures("either_way")
def test_row_4_full_disk_leaves_no_file(tmp_path: Path) -> None:
    with opened(tmp_path) as directory, _file_size_limit(4), pytest.raises(OSError, match="File too large"):
        directory.reserve(ADDRESS, ME)
    assert names(tmp_path / "blue") == ["lock"]
    assert names(tmp_path) == ["blue"]


@contextmanager
def _file_size_limit(size: int) -> Iterator[None]:
    """Refuse longer writes, as a full disk would (Python ignores SIGXFSZ)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_hidden_name_left_by_a_crash_is_tidied_and_its_link_survives(tmp_path: Path) -> None:
    reserve(tmp_path)
    (tmp_path / ".blue.reserving").hardlink_to(tmp_path / "blue" / "10.1.2.2")
    assert [each.text for each in found(tmp_path)] == ["abc\r\neth0"]
    assert names(tmp_path) == ["blue"]


def test_directories_are_0755_and_the_lock_is_the_references(tmp_path: Path) -> None:
    with disk.locked(str(tmp_path / "networks" / "blue"), print, create=True):
        pass
    assert mode(tmp_path / "networks") == mode(tmp_path / "networks" / "blue") == 0o755
    assert mode(tmp_path / "networks" / "blue" / "lock") == 0o750
    assert (tmp_path / "networks" / "blue" / "lock").read_bytes() == b""


def test_lock_is_flock_and_held_until_the_end(tmp_path: Path) -> None:
    with opened(tmp_path), (tmp_path / "blue" / "lock").open() as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with (tmp_path / "blue" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_second_comer_waits_for_the_lock(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        waiting = multiprocessing.get_context("spawn").Process(target=reserve, args=(tmp_path,))
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        directory.reserve(ADDRESS, Claim("first", "eth0"))
    waiting.join()
    assert (tmp_path / "blue" / "10.1.2.2").read_bytes() == b"first\r\neth0"


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the listing is of descriptors, not of a tree
    reserve(tmp_path)
    found(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - as above


def test_release_removes_the_file_and_forgives_its_absence(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        reservation = directory.reserve(ADDRESS, ME)
        assert reservation is not None
        directory.release(reservation)
        directory.release(reservation)
    assert names(tmp_path / "blue") == ["lock"]


def test_cursor_is_the_bare_address(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        directory.remember(1, IPv4Address("10.1.2.200"))
        directory.remember(1, IPv4Address("10.1.2.3"))
        assert directory.last(1) == IPv4Address("10.1.2.3")
    assert (tmp_path / "blue" / "last_reserved_ip.1").read_bytes() == b"10.1.2.3"
    assert mode(tmp_path / "blue" / "last_reserved_ip.1") == 0o600


@pytest.mark.parametrize("content", [None, b"", b"junk", b"\xff\xfe", b"10.1.2.3.4", b"10.1.2.3/24"])
def test_cursor_that_is_none_is_silently_ignored(tmp_path: Path, content: bytes | None) -> None:
    said: list[str] = []
    with opened(tmp_path, said.append) as directory:
        if content is not None:
            (tmp_path / "blue" / "last_reserved_ip.0").write_bytes(content)
        assert directory.last(0) is None
    assert said == []


def test_cursor_that_cannot_be_used_is_logged_and_no_failure(tmp_path: Path) -> None:
    said: list[str] = []
    with opened(tmp_path, said.append) as directory:
        (tmp_path / "blue" / "last_reserved_ip.0").mkdir()
        assert directory.last(0) is None
        directory.remember(0, ADDRESS)
    assert said == [
        f"ignoring {tmp_path}/blue/last_reserved_ip.0: no regular file",
        f"cannot write {tmp_path}/blue/last_reserved_ip.0: Is a directory",
    ]


def test_scan_reads_every_depth_but_no_bookkeeping(tmp_path: Path) -> None:
    reserve(tmp_path)
    with opened(tmp_path) as directory:
        directory.remember(0, ADDRESS)
    (tmp_path / "blue" / "old").mkdir()
    (tmp_path / "blue" / "old" / "10.1.2.9").write_bytes(b" legacy \n")
    (tmp_path / "blue" / "notes").write_bytes(b"abc")
    assert [(each.path, str(each.address), each.text) for each in found(tmp_path)] == [
        ("10.1.2.2", "10.1.2.2", "abc\r\neth0"),
        ("notes", "None", "abc"),
        ("old/10.1.2.9", "10.1.2.9", "legacy"),
    ]


def test_the_longest_container_id_is_found_again(tmp_path: Path) -> None:
    longest = Claim("c" * 128 * 1024, "eth0")
    reserve(tmp_path, claim=longest)
    assert claims.held(found(tmp_path), longest) == found(tmp_path) != ()


def test_release_reaches_what_the_scan_found_below(tmp_path: Path) -> None:
    (tmp_path / "blue" / "old").mkdir(parents=True)
    (tmp_path / "blue" / "old" / "10.1.2.9").write_bytes(b"legacy")
    with opened(tmp_path) as directory:
        directory.release(directory.reservations()[0])
    assert names(tmp_path / "blue" / "old") == []


def test_nothing_leads_out_of_the_directory(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "10.1.2.9").write_bytes(b"abc\r\neth0")
    reserve(tmp_path)
    (tmp_path / "blue" / "below").symlink_to(outside)
    (tmp_path / "blue" / "10.1.2.3").symlink_to(outside / "10.1.2.9")
    (tmp_path / "blue" / "last_reserved_ip.0").symlink_to(outside / "cursor")
    with opened(tmp_path) as directory:
        directory.remember(0, ADDRESS)
    assert [(each.path, each.text) for each in found(tmp_path)] == [
        ("10.1.2.2", "abc\r\neth0"),
        ("10.1.2.3", None),
        ("below", None),
    ]
    assert names(outside) == ["10.1.2.9"]


def test_fifo_and_folder_in_an_address_place_are_taken_and_hold_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "blue").mkdir()
    os.mkfifo(tmp_path / "blue" / "10.1.2.2")
    os.mkfifo(tmp_path / "blue" / "last_reserved_ip.0")
    (tmp_path / "blue" / "10.1.2.3").mkdir()
    assert found(tmp_path) == (Reservation("10.1.2.2", ADDRESS, None),)
    assert reserve(tmp_path) is None
    assert reserve(tmp_path, IPv4Address("10.1.2.3")) is None


@pytest.mark.parametrize(
    ("obstacle", "reason"),
    [
        (lambda path: path.write_bytes(b""), "Not a directory"),
        (lambda path: path.symlink_to("/nowhere"), "File exists"),
        (lambda path: (path / "lock").mkdir(parents=True), "Is a directory"),
        (lambda path: (path.mkdir(), (path / "lock").symlink_to("/etc/passwd")), "Too many levels of symbolic links"),
    ],
    ids=["a file", "a dangling link", "a folder as lock", "a link as lock"],
)
def test_place_that_cannot_be_used_is_code_5_with_its_path(
    tmp_path: Path, obstacle: Callable[[Path], object], reason: str
) -> None:
    obstacle(tmp_path / "blue")
    with pytest.raises(CniError) as refusal, opened(tmp_path):
        pass
    assert refusal.value.code == 5
    assert refusal.value.msg == f"address book {tmp_path}/blue: {reason}"


def test_what_the_disk_refuses_meanwhile_is_code_5_too(tmp_path: Path) -> None:
    with pytest.raises(CniError, match="File too large") as refusal, opened(tmp_path) as directory, _file_size_limit(4):
        directory.reserve(ADDRESS, ME)
    assert refusal.value.code == 5


def _filled(folder: Path, count: int = 2000) -> Path:
    """Make as many reservations as the reference would, and have them indexed."""
    book = folder / "blue"
    book.mkdir()
    for number in range(count):
        (book / str(ADDRESS + 2 + number)).write_bytes(f"c{number}\r\neth0".encode())
    found(folder)
    return book


def claimed(folder: Path, claim: Claim) -> list[str]:
    with opened(folder) as directory:
        return [each.path for each in directory.claimed(claim)]


def test_a_claim_is_found_and_missed_without_reading_every_file(tmp_path: Path) -> None:
    _filled(tmp_path)
    assert claimed(tmp_path, Claim("c7", "eth0")) == ["10.1.2.11"]
    assert claimed(tmp_path, ME) == []
    with opened(tmp_path) as directory:
        directory.claimed(ME)
        directory.reserve(ADDRESS, ME)
    assert claimed(tmp_path, ME) == ["10.1.2.2"]


def test_claims_somebody_else_writes_are_found_at_once(tmp_path: Path) -> None:
    book = _filled(tmp_path, 10)
    assert claimed(tmp_path, ME) == []
    (book / "10.1.2.2").write_bytes(ME.text.encode())
    assert "10.1.2.2" in claimed(tmp_path, ME)
    (book / "10.1.2.2").unlink()
    assert claims.held(tuple(found(tmp_path)), ME) == ()


def test_what_the_index_says_of_a_file_is_checked_there(tmp_path: Path) -> None:
    book = _filled(tmp_path, 10)
    (book / "10.1.2.11").write_bytes(b"usurper\r\neth0")
    assert len(claimed(tmp_path, Claim("c7", "eth0"))) == 10


def test_without_room_for_an_index_claims_are_found_all_the_same(tmp_path: Path) -> None:
    (tmp_path / ".blue.index").mkdir()
    reserve(tmp_path)
    assert claimed(tmp_path, ME) == ["10.1.2.2"]
