"""Claims about requests that come while every worker of the built agent is busy:

- 200 launchers at once, two workers and a slow program: none of them starts a cold program, and nothing of them stays behind
- what was taken is finished when the agent is told to end, and also when its supervisor is killed
- with everything killed, the launcher sees the end of its connection
- a request whose launcher was killed while it waited is not begun
- when all workers wait for something, a request that waits for one of them is sent on to the cold program, and no further one is taken
"""

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import protocol
from tests.e2e.test_agent import PROGRAMS, environment, host_local, relay, script
from tests.lab import warm
from tests.lab.asking import Question, send
from tests.lab.waiting import until
from tests.lab.warm import Agent

CROWD = 200
pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="an agent needs root"),
]


class Jam:
    """An agent of one worker, which is busy until `clear`, and a second request that was taken meanwhile."""

    def __init__(self, agent: Agent, directory: Path) -> None:
        self.agent, self.gate = agent, directory / "gate"
        os.mkfifo(self.gate)
        script(directory, "slow", f'read line <{self.gate}; echo "{{}}"')
        slow = Question("flannel", environment("ADD", "a", CNI_PATH=str(directory)), relay(directory, "slow"))
        self.first = self._ask(slow)
        self.second = self._ask(Question("host-local", environment("ADD", "b"), host_local(directory / "book")))
        agent.status()  # the supervisor answers when it has put by what it has taken

    def _ask(self, question: Question) -> socket.socket:
        door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        door.settimeout(20)
        door.connect(str(self.agent.path))
        send(door, self.agent.build, question)
        assert door.recv(100) == protocol.TAKEN
        return door

    def clear(self) -> None:
        self.gate.write_text("go\n")


@pytest.fixture
def jam(tmp_path: Path) -> Iterator[Jam]:
    with warm.agent(tmp_path, "--workers", "1", "--stall", "60") as agent:
        made = Jam(agent, tmp_path)
        yield made
        made.first.close()
        made.second.close()


def test_of_200_at_once_none_goes_cold(tmp_path: Path) -> None:
    script(tmp_path, "slow", 'sleep 0.01; echo "{}"')
    (tmp_path / "stdin").write_bytes(relay(tmp_path, "slow"))

    def call(number: int) -> "subprocess.Popen[bytes]":
        environ = environment("ADD", f"c{number}", CNI_PATH=str(tmp_path), TULLE_AGENT=str(tmp_path / "agent.sock"))
        with (tmp_path / "stdin").open("rb") as stdin:
            return subprocess.Popen([PROGRAMS / "flannel"], env={**environ, "PATH": os.defpath}, stdin=stdin,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip

    with warm.agent(tmp_path, "--workers", "2") as agent:
        assert call(CROWD).wait() == 0
        until(lambda: agent.status().warm == 1, "the first was served warm")
        descriptors = opened(agent.process.pid)
        crowd = [call(number) for number in range(CROWD)]
        assert {each.wait() for each in crowd} == {0}
        until(lambda: agent.status().warm == CROWD + 1, "all were served warm")
        assert agent.status().cold == 0
        until(lambda: opened(agent.process.pid) <= descriptors, "no descriptor of a request is left")


def test_what_was_taken_is_finished_when_told_to_end(jam: Jam) -> None:
    jam.agent.process.send_signal(signal.SIGTERM)
    finished(jam)


def test_what_was_taken_outlives_the_supervisor(jam: Jam) -> None:
    jam.agent.process.kill()
    jam.agent.process.wait()
    finished(jam)


def finished(jam: Jam) -> None:
    jam.clear()
    for door in (jam.first, jam.second):
        assert answered(door)


def answered(door: socket.socket) -> bool:
    """Tell whether an answer comes, after whatever goes to stderr."""
    while (data := door.recv(1000)).startswith(protocol.LINES):
        pass
    return data[:1] == protocol.ANSWERED


def test_with_everything_killed_the_launcher_sees_the_end(jam: Jam) -> None:
    workers = [each.pid for each in jam.agent.status().workers]
    with jam.gate.open(
        "w"
    ):  # as soon as the first request's program is there, which outlives its worker and ends with the block
        jam.agent.process.kill()
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        assert ended(jam.second.recv)


def opened(process: int) -> int:
    """Return how many descriptors a process holds."""
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def ended(receive: Callable[[int], bytes]) -> bool:
    try:
        return receive(100) == b""
    except ConnectionResetError:
        return True


def test_a_request_whose_launcher_was_killed_is_not_begun(jam: Jam, tmp_path: Path) -> None:
    jam.second.close()
    jam.clear()
    assert answered(jam.first)
    until(lambda: all(each.busy_seconds is None for each in jam.agent.status().workers), "nothing is in hand")
    later = Question("host-local", environment("DEL", "c"), host_local(tmp_path / "book"))
    assert jam.agent.ask(later).status == 0
    assert not list((tmp_path / "book").glob("net/10.*"))


def test_when_all_workers_wait_the_others_are_served_cold(tmp_path: Path) -> None:
    with warm.agent(tmp_path, "--workers", "1", "--stall", "0.2") as agent:
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        script(tmp_path, "slow", f'read line <{gate}; echo "{{}}"')
        slow = Question("flannel", environment("ADD", "a", CNI_PATH=str(tmp_path)), relay(tmp_path, "slow"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as first:
            first.settimeout(20)
            first.connect(str(agent.path))
            send(first, agent.build, slow)
            assert first.recv(100) == protocol.TAKEN

            told = agent.ask(Question("host-local", environment("ADD", "b"), host_local(tmp_path / "book")))
            assert told.reason == protocol.Reason.CROWDED.value
            environ = environment("ADD", "c", TULLE_AGENT=str(agent.path))
            config = host_local(tmp_path / "book")
            done = subprocess.run([PROGRAMS / "host-local"], env=environ, input=config, capture_output=True, check=True)
            assert b"10.77.0.2" in done.stdout
            assert agent.status().warm == 0

            gate.write_text("go\n")
            assert answered(first)
