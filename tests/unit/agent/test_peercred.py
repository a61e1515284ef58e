"""Claims about what is read of a caller:

- it is what the kernel says of the process that connected, and for this process what it says of itself
- a caller that has ended is gone, and nothing stays open
- where the kernel tells a number alone, the caller proves that it is at the other end: one that ended, and whose number another process
  has by now, cannot
"""

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from agent import peercred, protocol
from agent.peercred import Caller
from agent.protocol import DeclinedError, Reason

UNHEARD_OF = 9999
"""An option that no kernel knows, as one before 6.5 does not know SO_PEERPIDFD."""


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        near.settimeout(10)
        far.settimeout(10)
        yield near, far


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peercred, "SO_PEERPIDFD", UNHEARD_OF)


def status(path: str) -> tuple[int, int]:
    found = Path(path).stat()
    return found.st_dev, found.st_ino


def repeat(caller: socket.socket) -> None:
    caller.send(caller.recv(100))


def test_this_process_is_told_as_it_is(pair: tuple[socket.socket, socket.socket]) -> None:
    with closing(Caller(pair[1])) as caller:
        assert caller.spaces() == peercred.spaces()
        assert caller.spaces().mnt == status("/proc/self/ns/mnt")
        assert caller.root() == peercred.root()
        assert caller.root().directory == status("/")
        assert caller.net() == status("/proc/self/ns/net")
        assert (caller.capabilities() == 0) == (os.geteuid() != 0)
        for opened, path in ((caller.open_directory(), "."), (caller.open_net(), "/proc/self/ns/net")):
            assert os.path.samestat(os.fstat(opened), Path(path).stat())
            os.close(opened)
        caller.check()


def test_one_that_was_held_before_is_held_by_that(pair: tuple[socket.socket, socket.socket], old: None) -> None:
    held = os.pidfd_open(os.getpid())
    with closing(Caller(pair[1], held)) as caller:
        assert caller.fileno() == held
        caller.check()  # needs no proof


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield a connection that a process made which has ended, and the other end of it."""
    ours, theirs = socket.socketpair()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(str(tmp_path / "door"))
        door.listen()
        child = os.fork()
        if child == 0:
            caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            caller.connect(str(tmp_path / "door"))
            socket.send_fds(theirs, [b"!"], [caller.fileno()])
            os._exit(0)
        connection, _ = door.accept()
        _, [kept], _, _ = socket.recv_fds(ours, 1, 1)
        os.waitpid(child, 0)
        with ours, theirs, connection, socket.socket(fileno=kept) as other:
            connection.settimeout(10)
            other.settimeout(10)
            yield connection, other


@pytest.mark.parametrize("known", [True, False], ids=["SO_PEERPIDFD", "number"])
def test_a_caller_that_has_ended_is_gone(
    orphan: tuple[socket.socket, socket.socket], known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not known:
        monkeypatch.setattr(peercred, "SO_PEERPIDFD", UNHEARD_OF)
    before = len(list(Path("/proc/self/fd").iterdir()))

    with pytest.raises(DeclinedError) as declined, closing(Caller(orphan[0])) as caller:
        caller.check()

    assert declined.value.reason is Reason.GONE
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_who_repeats_it_is_the_caller(pair: tuple[socket.socket, socket.socket], old: None) -> None:
    with closing(Caller(pair[1])) as caller, ThreadPoolExecutor() as pool:
        repeating = pool.submit(repeat, pair[0])
        caller.check()
        repeating.result()


def test_the_number_of_another_process_proves_nothing(pair: tuple[socket.socket, socket.socket], old: None) -> None:
    """The one that connected has ended: its number is that of a process with all rights by now, here the first one."""
    with Renumbered(fileno=pair[1].detach()) as other, ThreadPoolExecutor() as pool:
        other.settimeout(10)
        with closing(Caller(other)) as caller:
            repeating = pool.submit(repeat, pair[0])
            with pytest.raises(DeclinedError) as declined:
                caller.check()
            repeating.result()
    assert declined.value.reason is Reason.GONE


class Renumbered(socket.socket):
    """A connection of which the kernel says that process 1 made it, as when the number has gone round."""

    def getsockopt(self, level: int, option: int, size: int = 0) -> bytes:  # type: ignore[override]
        if option == socket.SO_PEERCRED:
            return protocol.CREDENTIALS.pack(1, 0, 0)
        return super().getsockopt(level, option, size)


@pytest.mark.parametrize("said", [b"", b"P\0", b"P\0" + b"?" * 16], ids=["end", "short", "guessed"])
def test_another_reply_proves_nothing(pair: tuple[socket.socket, socket.socket], old: None, said: bytes) -> None:
    with closing(Caller(pair[1])) as caller:
        if said:
            pair[0].send(said)
        else:
            pair[0].shutdown(socket.SHUT_WR)
        with pytest.raises(DeclinedError):
            caller.check()
