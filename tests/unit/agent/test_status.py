"""Claims about the status:

- what is encoded is decoded, and what `--json` prints is one object with every count
- people see why requests were left to cold programs, and what each worker does
- the status socket is beside the agent's; without an agent asking fails
"""

import json
from pathlib import Path

import pytest

from agent import status
from agent.status import Status, WorkerStatus

EXAMPLE = Status(
    build="ab" * 32, uptime_seconds=12.5, warm=9, cold=3, withdrawn=1, declined={"another build": 2}, restarts={"stuck": 1},
    late_modules=0, lost_lines=3, memory_kib=2048, workers=[WorkerStatus(7, None, 1024), WorkerStatus(8, 1.25, 1024)],
)  # fmt: skip


def test_what_is_encoded_is_decoded() -> None:
    assert Status.decode(EXAMPLE.encode()) == EXAMPLE
    assert json.loads(EXAMPLE.encode())["declined"] == {"another build": 2}


def test_people_see_reasons_and_workers() -> None:
    lines = [" ".join(line.split()) for line in EXAMPLE.lines()]
    assert "served warm 9" in lines
    assert "nobody took it within 200 ms 1" in lines
    assert "another build 2" in lines
    assert "lines nobody could read 3" in lines
    assert "worker 8: busy for 1.2 s, 1.0 MiB" in lines
    assert "worker 7: idle, 1.0 MiB" in lines


def test_its_socket_is_beside_the_agents(tmp_path: Path) -> None:
    assert status.place(Path("/run/tulle/agent.sock")) == Path("/run/tulle/agent.status")
    with pytest.raises(OSError, match="No such file"):
        status.ask(tmp_path / "agent.sock")
