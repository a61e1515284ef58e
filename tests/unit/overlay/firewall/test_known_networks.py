"""Claims: a network that was entered is read, also by another process's roster, until it leaves; a lease file's later ranges replace
the earlier; one without lease file, record and daemon, of an earlier boot, or written by nobody of ours does not count; only root can
open the directory, whatever the umask; a complaint counts while its process lives; a turn that never ends is told with its holder.
"""

import os
from ipaddress import ip_network
from pathlib import Path

import pytest

from overlay.errors import Unavailable
from overlay.firewall import known_networks
from overlay.firewall.known_networks import Kept, KnownNetworks
from overlay.subnet.env_file import LeaseFile

RED, RED6 = ip_network("10.50.0.0/16"), ip_network("fd00:50::/48")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "networks"


def entered(place: Path, tmp_path: Path, name: str = "red", boot: str = "b") -> Kept:
    kept = Kept(f"/{name}", str(tmp_path / f"{name}.env"), (RED, RED6))
    Path(kept.lease_file).touch()
    with (one := KnownNetworks(boot, str(place))).turn():
        one.enter(kept)
    return kept


def test_what_was_entered_is_read_until_it_leaves(place: Path, tmp_path: Path) -> None:
    kept = entered(place, tmp_path)
    other = KnownNetworks("b", str(place))
    assert (other.read(), str(kept)) == ((kept,), "/red (10.50.0.0/16, fd00:50::/48)")
    other.leave(kept.lease_file)
    other.leave(kept.lease_file)
    assert other.read() == ()


def test_later_ranges_replace_the_earlier(place: Path, tmp_path: Path) -> None:
    kept = entered(place, tmp_path)
    moved = Kept("/red", kept.lease_file, (ip_network("10.70.0.0/16"),))
    one = KnownNetworks("b", str(place))
    one.enter(moved)
    assert one.read() == (moved,)


def test_a_network_counts_while_its_record_is_there(place: Path, tmp_path: Path) -> None:
    kept = entered(place, tmp_path)
    Path(kept.lease_file).rename(f"{kept.lease_file}.made")
    assert KnownNetworks("b", str(place)).read() == (kept,)
    Path(f"{kept.lease_file}.made").unlink()
    assert KnownNetworks("b", str(place)).read() == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="a daemon's lock lies where only root can make a file")
def test_a_network_counts_while_its_daemon_runs(place: Path, tmp_path: Path) -> None:
    kept = entered(place, tmp_path)
    daemon = LeaseFile(kept.lease_file)
    daemon.acquire()
    Path(kept.lease_file).unlink()
    assert KnownNetworks("b", str(place)).read() == (kept,)
    daemon.release()
    assert KnownNetworks("b", str(place)).read() == ()


def test_an_earlier_boots_does_not_count(place: Path, tmp_path: Path) -> None:
    entered(place, tmp_path)
    assert KnownNetworks("another", str(place)).read() == ()


@pytest.mark.parametrize(
    "text", ["", "[]", '{"boot": "b"}', '{"boot": "b", "name": "", "leaseFile": "/", "networks": [1.5]}', "[" * 9999]
)
def test_what_nobody_of_ours_wrote_is_left_out(place: Path, tmp_path: Path, text: str) -> None:
    kept = entered(place, tmp_path)
    folder = next(place.iterdir())
    (folder / "x.json").write_text(text)
    assert KnownNetworks("b", str(place)).read() == (kept,)


def test_only_root_can_open_it_whatever_the_umask(place: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        entered(place, tmp_path)
    finally:
        os.umask(before)
    folder = next(place.iterdir())
    assert (folder.stat().st_mode & 0o777, place.stat().st_mode & 0o022) == (0o700, 0)


def test_a_turn_that_does_not_end_is_told_with_its_holder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_networks, "PATIENCE", 0.05)
    one, two = KnownNetworks("b", str(place)), KnownNetworks("b", str(place))
    with one.turn(), pytest.raises(Unavailable, match=f"held by process {os.getpid()} "), two.turn():
        raise AssertionError("both have it")


def test_a_complaint_is_read_while_the_process_lives_and_it_was_not_taken_back(place: Path, tmp_path: Path) -> None:
    entered(place, tmp_path)
    one = KnownNetworks("b", str(place))
    one.complain("somebody changes it")
    assert one.complaint == "somebody changes it"
    (next(place.iterdir()) / "contested").write_text(f"{2**22 + 1} a process that is no more")
    assert one.complaint == ""
    one.complain("")
    one.complain("")
    assert one.complaint == ""
