"""An agent of the bench's own on a private socket, and the proof that it served the warm calls."""

import json
import os
import select
import socket as socket_module
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORKERS = 16
"""As many as `tulle agent` has by default."""
START_SECONDS = 30.0
CLOCK = os.sysconf("SC_CLK_TCK")


class ServedColdError(Exception):
    """A warm scenario was not served warm, so its figures would be about something else."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests since the agent started."""

    warm: int  # served by a worker
    cold: int  # declined


class Agent:
    """A running agent: its socket, its counters and its cost."""

    def __init__(self, command: Path, socket: Path, process: "subprocess.Popen[bytes]") -> None:
        self._command = command
        self.socket = socket
        self._process = process

    def counts(self) -> Counts:
        """Return what it has served so far."""
        told = self._status()
        return Counts(told["warm"], told["cold"])

    def insist_on(self, before: Counts, calls: int, what: str) -> None:
        """Raise ServedColdError unless since `before` exactly `calls` requests were served warm and none cold."""
        now = self.counts()
        if (now.warm - before.warm, now.cold - before.cold) != (calls, 0):
            raise ServedColdError(
                f"{what}: of {calls} calls {now.warm - before.warm} were served warm and {now.cold - before.cold} left to "
                f"cold programs: {self._status()['declined']}"
            )

    def memory(self) -> float:
        """Return the proportional set size of supervisor and workers in MiB."""
        return sum(_proportional(pid) for pid in self._processes()) / 1024

    def processor(self) -> float:
        """Return the processor time of supervisor, workers and their children in ms."""
        return sum(_spent(pid) for pid in self._processes())

    def _processes(self) -> list[int]:
        return [self._process.pid, *(worker["pid"] for worker in self._status()["workers"])]

    def _status(self) -> dict[str, Any]:
        command = [str(self._command), "agent", "status", "--json", "--socket", str(self.socket)]
        told: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        return told


def exists(command: Path) -> bool:
    """Return whether this build has an agent."""
    return (
        command.exists()
        and subprocess.run([command, "agent", "--help"], capture_output=True, check=False).returncode == 0
    )


@contextmanager
def agent(command: Path, folder: Path, workers: int = WORKERS) -> Iterator[Agent]:
    """Run an agent for the time of the block. Its log goes to `folder`."""
    socket, ready = folder / "agent.sock", folder / "notify"
    listener = _notified(ready)
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET": str(ready)}
    with (folder / "agent.log").open("wb") as log:
        arguments = [str(command), "agent", "--workers", str(workers), "--socket", str(socket)]
        process = subprocess.Popen(arguments, env=environ, stderr=log, stdout=log)
    try:
        if not select.select([listener], [], [], START_SECONDS)[0]:
            said = (folder / "agent.log").read_text()
            raise ServedColdError(f"the agent was not ready after {START_SECONDS:.0f} s: {said}")
        yield Agent(command, socket, process)
    finally:
        process.terminate()
        process.wait()
        listener.close()


def _notified(path: Path) -> socket_module.socket:
    """Return a socket on which the agent says that it is ready (sd_notify(3))."""
    listener = socket_module.socket(socket_module.AF_UNIX, socket_module.SOCK_DGRAM)
    listener.bind(str(path))
    return listener


def _proportional(pid: int) -> int:
    """Return the proportional set size of a process in KiB (proc_pid_smaps(5))."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _spent(pid: int) -> float:
    """Return user and system time of a process and of its ended children, in ms (proc_pid_stat(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) * 1000 / CLOCK
