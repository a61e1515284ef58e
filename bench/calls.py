"""Starts a program as a runtime does and times it, from the start of the process to its end.

Streams are memory files and the process is spawned without a copy of this one, so that what is timed is the program. Must not
know what is compared with what.
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
    """A program that failed; the text shows what it said."""


@dataclass(frozen=True, slots=True)
class Side:
    """Whose programs: `name` for tables, `plugins` their directory, `environ` what only they are given."""

    name: str
    plugins: Path
    environ: Mapping[str, str]

    def has(self, *programs: str) -> bool:
        """Tell whether it has all of `programs`."""
        return all((self.plugins / program).exists() for program in programs)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request; `config` is the whole document for stdin."""

    program: str
    verb: str
    container: Path
    config: Document


@dataclass(frozen=True, slots=True)
class Told:
    """How a program ended: wall time and time on a processor (its children's included) in ms, and its document."""

    wall: float
    processor: float
    document: Document


class Running:
    """A program that has been started."""

    def __init__(self, side: Side, asked: Asked) -> None:
        self._what = f"{side.plugins / asked.program} {asked.verb}"
        self._streams = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
        os.write(self._streams[0], json.dumps(asked.config).encode())
        os.lseek(self._streams[0], 0, os.SEEK_SET)
        program = str(side.plugins / asked.program)
        actions = [(os.POSIX_SPAWN_DUP2, stream, number) for number, stream in enumerate(self._streams)]
        environ = _environ(side, asked)
        self._began = time.perf_counter()
        self._child = os.posix_spawn(program, [program], environ, file_actions=actions)

    def end(self) -> Told:
        """Wait for it; RefusedError with its words when it failed."""
        _, status, usage = os.wait4(self._child, 0)
        wall = time.perf_counter() - self._began
        out, err = (os.pread(stream, 1 << 20, 0).decode() for stream in self._streams[1:])
        for stream in self._streams:
            os.close(stream)
        if status:
            raise RefusedError(f"{self._what} failed: {out.strip()} {err.strip()}")
        return Told(wall * 1000, (usage.ru_utime + usage.ru_stime) * 1000, json.loads(out or "{}"))


def call(side: Side, asked: Asked) -> Told:
    """Run one program to its end."""
    return Running(side, asked).end()


def at_once(side: Side, requests: Sequence[Asked]) -> tuple[float, list[Told]]:
    """Start all programs, then wait for all; return the wall time of the whole in ms and how each ended."""
    began = time.perf_counter()
    running = [Running(side, asked) for asked in requests]
    told = [each.end() for each in running]
    return (time.perf_counter() - began) * 1000, told


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
