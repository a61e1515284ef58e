"""Claims about the proof of cleanliness, each in a process of its own:

- nothing left behind is nothing to tell
- what work in the background holds is no trace of a request, but whatever is open beside it is
- every kind of thing a request can leave behind is told by its name
- modules loaded since are told once
"""

import os
import signal
import sys
import threading
from collections.abc import Callable

import pytest

from agent.pristine import PristineState
from kernel.deferred import DeferredDelete


def told_of(leave: Callable[[], object]) -> list[str]:
    """Return what a process says of itself after `leave` was called in it."""
    heard, said = os.pipe()
    child = os.fork()
    if child == 0:
        home = PristineState()
        leave()
        os.write(said, "\n".join(home.differences()).encode())
        os._exit(0)
    os.close(said)
    os.waitpid(child, 0)
    with os.fdopen(heard, encoding="utf-8") as words:
        return words.read().splitlines()


def a_child() -> None:
    if os.fork() == 0:
        signal.pause()


def test_nothing_left_is_nothing_told() -> None:
    assert told_of(lambda: os.close(os.open("/", os.O_RDONLY))) == []


def unfinished_work() -> None:
    DeferredDelete(signal.pause, os.open("/", os.O_RDONLY))


def test_what_work_in_the_background_holds_is_no_trace() -> None:
    assert told_of(unfinished_work) == []


def test_what_is_open_beside_work_in_the_background_is_told() -> None:
    def leave() -> None:
        unfinished_work()
        os.open("/", os.O_RDONLY)

    assert [line.partition(":")[0] for line in told_of(leave)] == ["open descriptors"]


@pytest.mark.parametrize(
    ("name", "leave"),
    [
        ("working directory", lambda: os.chdir("/proc")),
        ("environment", lambda: os.environ.update(A="b")),
        ("open descriptors", lambda: os.open("/", os.O_RDONLY)),
        ("umask", lambda: os.umask(0)),
        ("blocked signals", lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])),
        ("threads", lambda: threading.Thread(target=signal.pause, daemon=True).start()),
        ("child processes", lambda: os.posix_spawn("/bin/true", ["true"], {})),
    ],
)
def test_what_is_left_behind_is_told_by_its_name(name: str, leave: Callable[[], object]) -> None:
    told = told_of(leave)
    assert [line.partition(":")[0] for line in told] == [name]


def test_modules_loaded_since_are_told_once() -> None:
    def load() -> None:
        home = PristineState()
        sys.modules["never.seen.before"] = sys
        os._exit(0 if (home.late_modules(), home.late_modules()) == (["never.seen.before"], []) else 1)

    child = os.fork()
    if child == 0:
        load()
    assert os.waitpid(child, 0)[1] == 0
