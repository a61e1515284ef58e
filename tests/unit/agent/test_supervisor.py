"""Claims about the supervisor, with real workers in processes of their own; what needs root is tested end to end:

- as many workers live as were asked for, and one that is killed is replaced
- told to end, it ends with all of them; killed, it takes them with it
- who listens for reloads of the firewall is there when asked for, is replaced when it ends, and ends with the supervisor either way
- it tells the service manager when it is ready and when it ends
"""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import listening, processes, status
from agent import supervisor as supervising
from agent.build_id import Build
from agent.supervisor import Options, Supervisor
from tests.lab.waiting import until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.sock"


@pytest.fixture
def repair(request: pytest.FixtureRequest) -> bool:
    return bool(getattr(request, "param", False))


@pytest.fixture
def supervisor(path: Path, tmp_path: Path, repair: bool) -> Iterator[int]:
    """Run a supervisor of two workers, and yield its number."""
    (tmp_path / "build-id").write_text("ab" * 32)
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    child = os.fork()
    if child == 0:
        os.dup2(os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT), 2)
        options = Options(workers=2, path=path, patience=60.0, growth=1 << 30, stall=60.0, repair=repair)
        supervising.WATCHING = 0.1
        build = Build.read(tmp_path / "build-id")
        door, listener = listening.bind(status.place(path)), listening.listen(path, {})
        os._exit(Supervisor(options, build, listener, door, command=[], environ=environ).run())
    until(lambda: workers(path), "the workers are there")
    yield child
    if processes.memory(child):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Callable[[], bytes]]:
    """Stand in for the service manager, and return the next thing it is told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind(str(tmp_path / "notify"))
        door.settimeout(10)
        yield lambda: door.recv(100)


def workers(path: Path) -> list[int]:
    try:
        return [worker.pid for worker in status.ask(path).workers]
    except OSError:
        return []


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_killed_worker_is_replaced(supervisor: int, path: Path) -> None:
    before = workers(path)
    os.kill(before[0], signal.SIGKILL)

    until(lambda: len(set(workers(path)) - set(before)) == 1, "another worker is there")
    assert len(workers(path)) == 2
    assert status.ask(path).restarts == {"died": 1}


def test_told_to_end_it_ends_with_all_of_them(manager: Callable[[], bytes], supervisor: int, path: Path) -> None:
    living = workers(path)
    os.kill(supervisor, signal.SIGTERM)

    assert os.waitpid(supervisor, 0)[1] == 0
    assert alive(living) == []
    assert [manager(), manager()] == [b"READY=1", b"STOPPING=1"]
    assert not path.exists()
    assert not status.place(path).exists()


def test_killed_it_takes_them_with_it(supervisor: int, path: Path) -> None:
    living = workers(path)
    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)

    until(lambda: alive(living) == [], "the workers have ended")


def listeners(supervisor: int, path: Path) -> set[int]:
    """Return the children of a supervisor that are no workers."""
    named = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text(encoding="ascii").split()
    return {int(pid) for pid in named if processes.memory(int(pid))} - set(workers(path))


@pytest.mark.parametrize("repair", [True], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_who_listens_for_reloads_is_replaced_and_ends_with_it(
    supervisor: int, path: Path, number: signal.Signals
) -> None:
    until(lambda: len(listeners(supervisor, path)) == 1, "it listens")
    (first,) = listeners(supervisor, path)
    os.kill(first, signal.SIGKILL)
    until(lambda: listeners(supervisor, path) - {first}, "another one listens")
    (second,) = listeners(supervisor, path)
    assert len(workers(path)) == 2
    os.kill(supervisor, number)
    os.waitpid(supervisor, 0)
    until(lambda: not alive([second]), "it has ended, too")


def test_nobody_listens_unless_asked_for(supervisor: int, path: Path) -> None:
    assert listeners(supervisor, path) == set()
