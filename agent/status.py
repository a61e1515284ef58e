"""The status of the agent: the supervisor collects it, `tulle agent status` shows it.

It has a socket of its own, so that it answers when every worker is busy.
"""

import json
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

ANSWER_BYTES = 1 << 17
PATIENCE = 5.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker: its process, for how long it has had a request in hand (None: idle), and its share of the memory."""

    pid: int
    """The process."""
    busy_seconds: float | None
    """How long its present request has taken; None without one."""
    memory_kib: int
    """Its share of the memory, in KiB."""


@dataclass(frozen=True, slots=True)
class Status:
    """What there is to know; counts are since `uptime_seconds` ago. `cold` is withdrawn and declined together."""

    build: str
    """The id of the build."""
    uptime_seconds: float
    """Seconds since the agent started."""
    warm: int
    """Requests served."""
    cold: int
    """Requests that the launcher served itself: withdrawn and declined together."""
    withdrawn: int
    """Requests whose launcher had stopped waiting."""
    declined: dict[str, int]
    """Requests declined, by reason."""
    restarts: dict[str, int]
    """Workers that were replaced, by reason."""
    late_modules: int
    """Modules that were loaded during a request."""
    lost_lines: int
    """Log lines that could not be written."""
    memory_kib: int
    """The memory of all processes of the agent, in KiB."""
    workers: list[WorkerStatus]
    """The workers."""

    def encode(self) -> bytes:
        """Return it as the JSON object that `--json` prints."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Status":
        """Return what `encode` wrote."""
        members = json.loads(data)
        return cls(**{**members, "workers": [WorkerStatus(**each) for each in members["workers"]]})

    def lines(self) -> list[str]:
        """Return it for people."""
        rows = [
            ("build", self.build[:12]),
            ("up for", f"{self.uptime_seconds:.0f} s"),
            ("served warm", str(self.warm)),
            ("left to cold programs", str(self.cold)),
            *((f"  {reason}", str(count)) for reason, count in self._causes()),
            *((f"workers {cause}", str(count)) for cause, count in self.restarts.items()),
            *([("lines nobody could read", str(self.lost_lines))] if self.lost_lines else []),
            ("memory", f"{self.memory_kib / 1024:.1f} MiB"),
        ]
        workers = [
            ("worker", f"{each.pid}: {_activity(each)}, {each.memory_kib / 1024:.1f} MiB") for each in self.workers
        ]
        return [f"{label:<40}{value}" for label, value in (*rows, *workers)]

    def _causes(self) -> list[tuple[str, int]]:
        withdrawn = [("nobody took it within 200 ms", self.withdrawn)] if self.withdrawn else []
        return [*withdrawn, *self.declined.items()]


def _activity(worker: WorkerStatus) -> str:
    return "idle" if worker.busy_seconds is None else f"busy for {worker.busy_seconds:.1f} s"


def place(agent: Path) -> Path:
    """Return where the status socket of the agent at `agent` is."""
    return agent.with_suffix(".status")


def ask(agent: Path) -> Status:
    """Return the status of the agent that listens at `agent`; OSError when there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(place(agent)))
        data = sock.recv(ANSWER_BYTES)
    if not data:
        raise ConnectionResetError("the agent has just ended")
    return Status.decode(data)
