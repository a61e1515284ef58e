"""Claims about who may not ask the built agent, and means harm; or may, and holds it up:

- strangers who connect by the hundred and say nothing hold up neither a worker nor the supervisor
- strangers who connect without end keep nobody from the status
- a stranger who sends a descriptor that never answers holds nobody up: nothing of his is received
- a caller with all rights who sends one is declined, and the worker that cannot get rid of it is replaced
- the last of a socket that lingers, left in a connection, does not hold the supervisor
- a caller that does not take what goes to its stderr holds up nobody else
"""

import ctypes
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.protocol import Reason
from tests.e2e.test_agent import environment, host_local, relay, script
from tests.lab import asking, warm
from tests.lab.asking import Question
from tests.lab.silent import silent
from tests.lab.waiting import until
from tests.lab.warm import Agent

pytestmark = pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="an agent needs root")

WORKERS = 2
CAPABILITIES = struct.pack("=Ii", 0x20080522, 0), bytes(24)  # linux/capability.h: version 3, this process; no sets


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with warm.agent(tmp_path, "--workers", str(WORKERS)) as running:
        yield running


@contextmanager
def stranger(work: Callable[[], object]) -> Iterator[None]:
    """Have a process without any capability do `work`, and stay for the time of the block."""
    done, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if ctypes.CDLL(None).capset(*CAPABILITIES) == 0:
                work()
                os.write(tell, b"!")
                signal.pause()
        finally:
            os._exit(1)
    os.close(tell)
    try:
        assert select.select([done], [], [], 20)[0]
        assert os.read(done, 1) == b"!"
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(done)


def serves(agent: Agent, book: Path) -> bool:
    return agent.ask(Question("host-local", environment("ADD"), host_local(book))).status == 0


def test_strangers_who_say_nothing_hold_nobody_up(agent: Agent, tmp_path: Path) -> None:
    doors: list[socket.socket] = []

    def crowd() -> None:
        for _ in range(300):
            doors.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            doors[-1].connect(str(agent.path))

    with stranger(crowd):
        until(lambda: agent.status().declined == {Reason.RIGHTS.value: 300}, "all of them are declined", within=5)
        assert serves(agent, tmp_path)


def test_a_flood_of_strangers_keeps_nobody_from_the_status(agent: Agent) -> None:
    flooding, stop = os.pipe()

    def flood() -> None:
        if os.fork() == 0:
            while not select.select([flooding], [], [], 0)[0]:
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as door:
                    door.connect_ex(str(agent.path))
            os._exit(0)

    try:
        with stranger(flood):
            until(lambda: sum(agent.status().declined.values()) > 1000, "they are coming", within=20)
            for _ in range(5):
                began = time.monotonic()
                assert agent.status().workers
                assert time.monotonic() - began < 2
    finally:
        os.write(stop, b"!")
        os.close(flooding)
        os.close(stop)


def test_a_descriptor_of_a_stranger_is_not_touched(agent: Agent, tmp_path: Path) -> None:
    with silent() as descriptor:

        def send() -> None:
            for _ in range(4 * WORKERS):
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
                    door.connect(str(agent.path))
                    trap = Question("host-local", environment("ADD"), instead={0: descriptor})
                    try:
                        asking.send(door, agent.build, trap)
                    except BrokenPipeError:
                        continue  # declined before it was sent

        with stranger(send):
            until(lambda: sum(agent.status().declined.values()) == 4 * WORKERS, "all of them are declined", within=5)
            assert all(each.busy_seconds is None for each in agent.status().workers)
            assert serves(agent, tmp_path)
    assert agent.status().restarts == {}


def test_a_worker_that_is_held_is_replaced(agent: Agent, tmp_path: Path) -> None:
    with silent(closes=False) as descriptor, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.connect(str(agent.path))
        asking.send(door, agent.build, Question("host-local", environment("ADD"), instead={0: descriptor}))
        until(lambda: agent.status().restarts == {"stuck": 1}, "the held worker is given up", within=20)
        until(lambda: len(agent.status().workers) == WORKERS, "another is there")
        assert serves(agent, tmp_path)


def test_who_takes_no_lines_holds_up_nobody_else(tmp_path: Path) -> None:
    script(tmp_path, "talkative", "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo '{}'")
    given = Question("flannel", environment("ADD", CNI_PATH=f"{tmp_path}:{os.defpath}"), relay(tmp_path, "talkative"))
    with (
        warm.agent(tmp_path, "--workers", "1") as agent,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door,
    ):
        door.connect(str(agent.path))
        asking.send(door, agent.build, given)
        until(lambda: agent.status().warm == 1, "it is served")
        assert agent.status().lost_lines > 0
        assert serves(agent, tmp_path)
        assert agent.status().restarts == {}


def test_what_a_stranger_leaves_behind_does_not_hold_the_supervisor(tmp_path: Path) -> None:
    """The last of a TCP socket that lingers, its data taken by nobody: whoever closes the connection that holds it would wait."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    script(tmp_path, "slow", f'read line <{gate}; echo "{{}}"')
    slow = Question("flannel", environment("ADD", CNI_PATH=str(tmp_path)), relay(tmp_path, "slow"))
    with (
        warm.agent(tmp_path, "--workers", "1", "--stall", "60") as agent,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as first,
        lingering() as trap,
    ):
        first.connect(str(agent.path))
        asking.send(first, agent.build, slow)
        until(lambda: agent.status().workers[0].busy_seconds is not None, "the only worker is busy")
        agent.process.send_signal(signal.SIGSTOP)

        def send() -> None:
            door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            door.connect(str(agent.path))
            asking.send(door, agent.build, Question("host-local", environment("ADD"), instead={0: trap.fileno()}))

        with stranger(send):
            trap.close()  # the stranger has it
        agent.process.send_signal(signal.SIGCONT)  # now only what he sent is left
        until(lambda: agent.status().declined, "he is declined", within=5)
        until(lambda: bool(agent.status().workers), "the supervisor answers", within=5)
        gate.write_text("go\n")


@contextmanager
def lingering() -> Iterator[socket.socket]:
    """Yield a connection full of data that nobody reads."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("@ii", 1, 60))
        made.setblocking(False)
        while True:
            try:
                made.send(bytes(1 << 16))
            except BlockingIOError:
                break
        made.setblocking(True)
        yield made
