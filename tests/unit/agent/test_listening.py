"""Claims about the listening socket:

- a new one has mode 0600 and is removed when it is closed; one that is left of a dead agent is taken over
- its folder is for nobody else to write to, whatever the umask; one that is, or that belongs to somebody else, is refused, and the agent's
  own loses what an earlier agent gave to others
- one that somebody listens on, and a file that is no socket, are left alone, and named
- one handed over is taken; a successor in the same process finds it and knows whether its path is ours
- what is handed over must be a SEQPACKET Unix socket
"""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import listening, protocol
from agent.listening import Listener, UnusableError


@pytest.fixture
def third() -> Iterator[None]:
    """Keep whatever is descriptor 3 of this process safe."""
    kept = os.dup(3) if Path("/proc/self/fd/3").exists() else -1
    yield
    if kept >= 0:
        os.dup2(kept, 3)
        os.close(kept)


def test_a_new_one_is_private_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "run" / "agent.sock"
    listener = listening.listen(path, {})
    assert path.stat().st_mode & 0o777 == 0o600
    listener.close()
    assert not path.exists()


def test_one_that_somebody_listens_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    with listening.bind(path), pytest.raises(UnusableError, match=f"another agent listens on {path}"):
        listening.bind(path)
    listening.bind(path).close()


def test_one_of_orphaned_workers_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    with listening.bind(path), listening.listen(path, {}).socket as door:
        assert door.getsockname() == str(path)


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    path.write_text("precious")
    with pytest.raises(UnusableError, match="no socket: remove it"):
        listening.bind(path)
    assert path.read_text() == "precious"


def test_a_path_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match="path too long"):
        listening.bind(tmp_path / ("x" * 200))


@pytest.mark.parametrize("own", [True, False])
def test_a_successor_finds_it(tmp_path: Path, third: None, own: bool) -> None:
    path = tmp_path / "agent.sock"
    former = Listener(listening.bind(path), path, own)

    found = listening.listen(Path("/elsewhere"), former.handed_on())

    assert (found.path, found.own, found.socket.fileno()) == (path, own, listening.FIRST)
    assert not os.get_inheritable(listening.FIRST)
    found.socket.detach()
    former.socket.close()


def test_a_socket_meant_for_another_process_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    listener = listening.listen(path, {"LISTEN_PID": "1", "LISTEN_FDS": "1"})
    assert (listener.path, listener.own) == (path, True)
    listener.close()


def test_another_kind_of_socket_is_refused(tmp_path: Path, third: None) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        given = Listener(other, tmp_path / "x", own=False).handed_on()
        with pytest.raises(UnusableError, match="ListenSequentialPacket="):
            listening.listen(tmp_path / "x", given)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
def test_its_folder_is_not_for_others_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        listening.bind(tmp_path / "a" / "run" / "agent.sock").close()
    finally:
        os.umask(before)
    modes = [(tmp_path / each).stat().st_mode & 0o777 for each in ("a", "a/run", "a/run/agent.sock")]
    assert modes == [0o755, 0o755, 0o600]


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775, 0o757])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(UnusableError, match=f"{folder} is writable for others"):
        listening.bind(folder / "agent.sock")


def test_the_agents_own_folder_loses_what_an_earlier_one_gave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setattr(protocol, "PATH", str(folder / "agent.sock"))
    listening.bind(folder / "agent.sock").close()
    assert folder.stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    with pytest.raises(UnusableError, match="belongs to user 65534"):
        listening.bind(folder / "agent.sock")
