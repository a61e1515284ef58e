"""Starts a program as a runtime does, and times it from the start of the process to its end.

Streams are memory files, and the process is spawned without a copy of this one, so that mostly the program is timed.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

Document = dict[str, Any]


class RefusedError(Exception):
    """A program failed. The text is its output."""


@dataclass(frozen=True, slots=True)
class Side:
    """The programs of one side."""

    name: str  # for tables
    plugins: Path  # directory of the programs
    environ: Mapping[str, str]  # variables for these programs only

    def lacks(self, *programs: str) -> str:
        """Return, as text, which of `programs` it lacks; empty when it has them all."""
        absent = [program for program in programs if not (self.plugins / program).exists()]
        return f"{self.plugins} lacks {' and '.join(absent)}" if absent else ""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    program: str
    verb: str
    container: Path  # path of the network namespace
    config: Document  # the whole document for stdin


@dataclass(frozen=True, slots=True)
class Told:
    """How a program ended."""

    wall: float  # ms
    processor: float  # ms on a processor, its children included
    document: Document  # from stdout


class Call:
    """One program to be started. Everything is prepared before, so that only the program is timed."""

    def __init__(self, side: Side, asked: Asked) -> None:
        self._program = str(side.plugins / asked.program)
        self._what = f"{self._program} {asked.verb}"
        self._environ = _environ(side, asked)
        self._streams = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
        os.write(self._streams[0], json.dumps(asked.config).encode())
        os.lseek(self._streams[0], 0, os.SEEK_SET)
        self._actions = [(os.POSIX_SPAWN_DUP2, stream, number) for number, stream in enumerate(self._streams)]

    def start(self) -> None:
        """Start it. Raises RefusedError when that fails."""
        self._began = time.perf_counter()
        try:
            self._child = os.posix_spawn(self._program, [self._program], self._environ, file_actions=self._actions)
        except OSError as refused:
            raise RefusedError(f"cannot start {self._program}: {refused.strerror}") from refused

    def wait(self) -> None:
        """Wait for its end."""
        _, self._status, self._usage = os.wait4(self._child, 0)
        self._wall = time.perf_counter() - self._began

    def told(self) -> Told:
        """Return how it ended. Raises RefusedError with its output when it failed."""
        out, err = (os.pread(stream, 1 << 20, 0).decode() for stream in self._streams[1:])
        for stream in self._streams:
            os.close(stream)
        if self._status:
            raise RefusedError(f"{self._what} failed: {' '.join(out.split())} {err.strip()}")
        processor = self._usage.ru_utime + self._usage.ru_stime
        return Told(self._wall * 1000, processor * 1000, json.loads(out or "{}"))


def call(side: Side, asked: Asked) -> Told:
    """Run one program to its end."""
    prepared = Call(side, asked)
    prepared.start()
    prepared.wait()
    return prepared.told()


def at_once(side: Side, requests: Sequence[Asked]) -> tuple[float, list[Told]]:
    """Start all programs, then wait for all. Return the time of the whole in ms, and how each ended.

    Their input and output are prepared before and read afterwards, because that would take processor time from them.
    """
    calls = [Call(side, asked) for asked in requests]
    began = time.perf_counter()
    for each in calls:
        each.start()
    for each in calls:
        each.wait()
    wall = time.perf_counter() - began
    return wall * 1000, [each.told() for each in calls]


def _environ(side: Side, asked: Asked) -> dict[str, str]:
    return {
        "CNI_COMMAND": asked.verb,
        "CNI_CONTAINERID": asked.container.name,
        "CNI_NETNS": str(asked.container),
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(side.plugins),
        "PATH": PATH,
        **side.environ,
    }
