"""Starts and ends a tulled on a pretend host, and waits for what it says instead of for the clock.

Readiness arrives as systemd would get it: one datagram `READY=1` on the socket named by NOTIFY_SOCKET. Must not know containers.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.world import PATH, LabError, Place, only_child

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"
NETWORK = "10.42.0.0/16"
BRIDGE = "tulle0"
SUBNET_FILE = "/run/flannel/subnet.env"
HEALTH_PORT = 8471
FLAGS = (
    "--network",
    NETWORK,
    "--iface",
    "eth0",
    "--subnet-file",
    SUBNET_FILE,
    "--healthz-port",
    str(HEALTH_PORT),
    "--bridge",
    BRIDGE,
)


@dataclass(slots=True)
class Daemon:
    """One tulled: the nsenter that waits for it, the socket it reports to, the log it writes."""

    name: str
    job: subprocess.Popen[str]
    readiness: socket.socket
    log: Path

    @property
    def pid(self) -> int:
        """The daemon's own process, as numbered outside the world."""
        return only_child(self.job.pid)

    def wait_ready(self, within: float = 15) -> None:
        """Return when the daemon reported READY=1; raise LabError with its last words when it ends or says nothing."""
        until = time.monotonic() + within
        gone = os.pidfd_open(self.job.pid)
        try:
            while (rest := until - time.monotonic()) > 0:
                heard, _, _ = select.select([self.readiness.fileno(), gone], [], [], rest)
                if self.readiness.fileno() in heard and b"READY=1" in self.readiness.recv(4096).splitlines():
                    return
                if gone in heard:
                    raise LabError(f"tulled on {self.name} ended before it was ready:\n{self.tail()}")
        finally:
            os.close(gone)
        raise LabError(f"tulled on {self.name} was not ready after {within:.0f} s:\n{self.tail()}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the daemon's process alone, wait for its end and return its exit code (as nsenter passes it on)."""
        os.kill(self.pid, number)
        self.close()
        return self.job.wait(10)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the daemon's process for the block; it is stopped when the block begins.

        nsenter stops itself for good when it sees its child stopped, so it must not look: stopped first, continued last.
        """
        pid = self.pid
        os.kill(self.job.pid, signal.SIGSTOP)
        try:
            _await_stop(self.job.pid)
            os.kill(pid, signal.SIGSTOP)
            _await_stop(pid)
            yield
        finally:
            os.kill(pid, signal.SIGCONT)
            os.kill(self.job.pid, signal.SIGCONT)

    def close(self) -> None:
        """Let go of the socket; the process is the world's to end."""
        self.readiness.close()

    def tail(self, lines: int = 12) -> str:
        """Return the last lines of the log, for a message to people."""
        return "\n".join(self.log.read_text().splitlines()[-lines:])


def _await_stop(pid: int) -> None:
    """Return when a process that was sent SIGSTOP has stopped."""
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":  # its state (proc_pid_stat(5))
        os.sched_yield()


def start(place: Place, workdir: Path, *options: str, program: Path = DIST / "bin" / "tulled") -> Daemon:
    """Start tulled (the built one, or `program` of the place) with the lab's flags, the store all hosts share and these options."""
    address = workdir / f"{place.name}.ready"
    address.unlink(missing_ok=True)
    with contextlib.ExitStack() as undo:
        readiness = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        readiness.bind(str(address))
        log = workdir / f"{place.name}.log"
        with log.open("a") as sink:
            environment = {"PATH": PATH, "NOTIFY_SOCKET": str(address)}
            store = f"sqlite:{workdir / 'net.db'}"
            job = place.start(program, "--store", store, *FLAGS, *options, env=environment, log=sink)
        undo.pop_all()
    return Daemon(place.name, job, readiness, log)
