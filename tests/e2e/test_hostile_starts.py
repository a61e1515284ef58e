"""Claims about the built daemon and agent under circumstances that are none of their business:

- with a stderr that cannot be written, tulled writes its lease and the agent serves; the agent's status counts the lines
- SIGHUP, as often as it comes, ends neither tulled nor the agent, and the agent starts anew all the same
- SIGTERM at any time of its start ends the agent in order: its sockets are gone
- started with umask 000, the agent makes nothing that others may write to; sockets that a killed one left are taken over
- on a socket that was handed to it, as systemd does, it serves launchers, also after it started anew, and leaves the socket where it is
"""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent import status
from tests.e2e.conftest import DIST
from tests.e2e.test_agent import environment, host_local
from tests.lab import warm
from tests.lab.asking import Question
from tests.lab.waiting import until
from tests.lab.warm import BUILD_ID, TULLE, Agent

pytestmark = pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="daemon and agent need root")

HOST = """
for folder in /run /var/lib/tulle; do mkdir -p $folder; mount -t tmpfs none $folder; done
ip link set lo up; ip link add e0 type veth peer name e1; ip addr add 192.0.2.1/24 dev e0
ip link set e0 up; ip link set e1 up
exec "$0" --store sqlite:/run/net.db --network 10.42.0.0/16 --iface e0 --healthz-port 0
"""


@contextmanager
def tulled(stderr: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the daemon on a host of its own for the time of the block."""
    command = ["unshare", "-n", "-m", "--propagation", "private", "/bin/sh", "-ec", HOST, str(DIST / "bin" / "tulled")]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=stderr)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def has_lease(process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None
    return Path(f"/proc/{process.pid}/root/run/flannel/subnet.env").exists()


@contextmanager
def unwritable(kind: str) -> Iterator[int]:
    """Open what no line can be written to."""
    reading, writing = os.pipe()
    if kind == "full disk":
        os.dup2(os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC), writing)
    elif kind == "broken pipe":
        os.close(reading)
    else:
        os.set_blocking(writing, False)
        while True:
            try:
                os.write(writing, b"x" * 4096)
            except BlockingIOError:
                break
        os.set_blocking(writing, True)
    try:
        yield writing
    finally:
        os.close(writing)
        if kind != "broken pipe":
            os.close(reading)


KINDS = ("full disk", "broken pipe", "full pipe")


@pytest.mark.parametrize("kind", KINDS)
def test_tulled_writes_its_lease_whatever_its_stderr_is(kind: str) -> None:
    with unwritable(kind) as stderr, tulled(stderr) as process:
        until(lambda: has_lease(process), "the lease is written")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_agent_serves_and_counts_whatever_its_stderr_is(kind: str, tmp_path: Path) -> None:
    with unwritable(kind) as stderr, started(tmp_path, stderr) as agent:
        until(agent.listens, "the agent listens", within=60)
        os.kill(agent.status().workers[0].pid, signal.SIGKILL)
        until(lambda: agent.status().restarts == {"died": 1}, "the death is noticed")
        assert agent.status().lost_lines >= 2
        assert agent.ask(Question("host-local", environment("ADD"), host_local(tmp_path))).status == 0


@contextmanager
def started(directory: Path, stderr: int = subprocess.DEVNULL, umask: int = -1) -> Iterator[Agent]:
    """Start an agent, without waiting until it listens."""
    path = directory / "agent.sock"
    process = subprocess.Popen(
        [TULLE, "agent", "--socket", path, "--workers", "2"],
        stdin=subprocess.DEVNULL,
        stderr=stderr,
        env={},
        umask=umask,
    )
    try:
        yield Agent(path, process, directory / "log", bytes.fromhex(BUILD_ID.read_text()))
    finally:
        process.kill()
        process.wait()


def test_sighup_at_any_time_does_not_end_tulled(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as stderr, tulled(stderr.fileno()) as process:
        until(lambda: b"time=" in log.read_bytes(), "it has begun to speak")
        for _ in range(20):
            process.send_signal(signal.SIGHUP)
            until(lambda: process.poll() is None, "it lives")
        until(lambda: has_lease(process), "the lease is written")
        until(lambda: b"SIGHUP changes nothing" in log.read_bytes(), "it says that it was heard")


def workers(agent: Agent) -> list[int]:
    """Return the agent's workers; none while it starts."""
    try:
        return [each.pid for each in agent.status().workers]
    except OSError:
        return []


def others(agent: Agent, before: set[int]) -> bool:
    """Tell whether it has workers, and none of those it had `before`."""
    found = set(workers(agent))
    return bool(found) and not before & found


def test_sighup_at_any_time_does_not_end_the_agent(tmp_path: Path) -> None:
    """Some of them meet the agent while it executes itself anew, from its first system call on."""
    with warm.agent(tmp_path, "--workers", "2") as agent:
        before = set(workers(agent))
        signals = iter(range(40))

        def anew() -> bool:
            if next(signals, None) is not None:
                agent.process.send_signal(signal.SIGHUP)
                return False
            assert agent.process.poll() is None
            return others(agent, before)

        until(anew, "the agent has started anew", within=60)
        assert agent.ask(Question("host-local", environment("ADD"), host_local(tmp_path))).status == 0


def test_sigterm_at_any_time_of_its_start_ends_the_agent_in_order(tmp_path: Path) -> None:
    with started(tmp_path) as agent:
        until(status.place(agent.path).exists, "it has begun to start")
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(timeout=20) == 0
        assert not agent.path.exists()
        assert not status.place(agent.path).exists()


def served_warm(agent: Agent, book: Path) -> bool:
    """Tell whether a real launcher has its request served by the agent."""
    before = agent.status().warm
    environ = environment("ADD", f"c{before}", TULLE_AGENT=str(agent.path))
    subprocess.run(
        [DIST / "cni" / "host-local"], env=environ, input=host_local(book), stdout=subprocess.DEVNULL, check=True
    )
    return agent.status().warm == before + 1


def test_started_with_umask_000_it_makes_nothing_that_others_may_write(tmp_path: Path) -> None:
    with started(tmp_path / "run", umask=0) as agent:
        until(agent.listens, "the agent listens", within=60)
        assert served_warm(agent, tmp_path / "book")
        made = [agent.path.parent, *agent.path.parent.iterdir()]
        assert {each.name: oct(each.stat().st_mode & 0o777) for each in made} == {
            "run": "0o755",
            "agent.sock": "0o600",
            "agent.status": "0o600",
        }


def test_sockets_of_a_killed_agent_are_taken_over(tmp_path: Path) -> None:
    for book in ("first", "second"):
        with started(tmp_path) as agent:
            until(agent.listens, "the agent listens", within=60)
            assert served_warm(agent, tmp_path / book)
        assert agent.path.exists()  # killed, it has left it


def test_on_a_socket_that_was_handed_to_it_it_serves(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(str(path))
        path.chmod(0o600)
        door.listen()
        script = f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" agent --socket "$1" --workers 2 3<&{door.fileno()}'
        command: list[str | Path] = ["/bin/bash", "-c", script, TULLE, path]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[door.fileno()], env={})
    agent = Agent(path, process, tmp_path / "log", bytes.fromhex(BUILD_ID.read_text()))
    try:
        until(agent.listens, "the agent listens", within=60)
        before = set(workers(agent))
        assert served_warm(agent, tmp_path / "book")
        process.send_signal(signal.SIGHUP)
        until(lambda: others(agent, before), "the agent has started anew", within=60)
        assert served_warm(agent, tmp_path / "again")
        assert agent.stop() == 0
        assert path.exists()
    finally:
        process.kill()
        process.wait()
