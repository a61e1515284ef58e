"""Runs the built agent for a test: started when it listens, ended with all its workers, its log kept.

Must not know what is asked of it.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent import status
from agent.build_id import Build
from agent.status import Status
from tests.lab.asking import Question, Reply, ask
from tests.lab.daemon import DIST
from tests.lab.waiting import until

TULLE = DIST / "bin" / "tulle"
BUILD_ID = DIST / "lib" / "build-id"


@dataclass
class Agent:
    """A running agent: where it listens, its process, and the file its log goes to."""

    path: Path
    process: "subprocess.Popen[bytes]"
    log: Path
    build: bytes

    def ask(self, question: Question) -> Reply:
        """Send one request as the launcher would."""
        return ask(self.path, self.build, question)

    def status(self) -> Status:
        """Return what the agent says of itself."""
        return status.ask(self.path)

    def listens(self) -> bool:
        """Tell whether it answers."""
        try:
            return bool(self.status().workers)
        except OSError:
            return False

    def stop(self) -> int:
        """End it as systemd would, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


@contextmanager
def agent(
    directory: Path,
    *options: str,
    program: Path = TULLE,
    environ: Mapping[str, str] | None = None,
    within: Sequence[str] = (),
) -> Iterator[Agent]:
    """Run an agent on a socket in `directory` for the time of the block; `within` is put before its command line."""
    path, log = directory / "agent.sock", directory / "agent.log"
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            [*within, program, "agent", "--socket", path, *options],
            stderr=stderr,
            stdin=subprocess.DEVNULL,
            env=environ or {},
        )
    running = Agent(
        path,
        process,
        log,
        Build.read(program.resolve().with_name("build-id")).number
        if program != TULLE
        else bytes.fromhex(BUILD_ID.read_text()),
    )
    try:
        until(lambda: process.poll() is not None or running.listens(), "the agent listens", within=60)
        assert process.poll() is None, log.read_text()
        yield running
    except BaseException:
        sys.stderr.write(log.read_text())
        raise
    finally:
        running.stop()
