"""Claims: the service manager's socket gets sd_notify's words, by path or abstract name; without one nothing happens; a status is
one line; a READY that the manager's full queue does not take is said again, once; the heartbeat is half of what the watchdog allows.
"""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from system.sd_notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify"))
        bound.settimeout(5)
        yield bound


def test_the_manager_hears_every_word(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})
    notifier.ready()
    notifier.status("two\nlines")
    notifier.alive()
    notifier.stopping()
    heard = [manager.recv(100) for _ in range(4)]
    assert heard == [b"READY=1", b"STATUS=two lines", b"WATCHDOG=1", b"STOPPING=1"]


def test_a_ready_that_the_full_queue_does_not_take_is_said_again(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})
    fillers = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as other:
        with contextlib.suppress(BlockingIOError):
            while True:
                other.sendto(b"x", manager.getsockname())
                fillers += 1
        notifier.ready()
        notifier.status("still full")
        for _ in range(fillers):
            assert manager.recv(100) == b"x"
    notifier.status("ready")
    notifier.alive()
    assert [manager.recv(100) for _ in range(3)] == [b"READY=1", b"STATUS=ready", b"WATCHDOG=1"]


def test_an_abstract_name_is_understood(tmp_path: Path) -> None:
    name = str(tmp_path)[-60:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind("\0" + name)
        bound.settimeout(5)
        Notifier({"NOTIFY_SOCKET": "@" + name}).ready()
        assert bound.recv(100) == b"READY=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "/nonexistent/socket"}])
def test_nobody_listening_is_no_reason_to_stop(environ: dict[str, str]) -> None:
    notifier = Notifier(environ)
    notifier.ready()
    assert notifier.heartbeat is None


@pytest.mark.parametrize(("allowed", "heartbeat"), [("30000000", 15.0), ("", None), ("0", None), ("soon", None)])
def test_the_heartbeat_is_half_of_what_is_allowed(allowed: str, heartbeat: float | None) -> None:
    assert Notifier({"WATCHDOG_USEC": allowed}).heartbeat == heartbeat
