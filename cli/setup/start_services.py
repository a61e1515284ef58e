"""Starts the daemon and the agent under systemd, and reports within half a minute what became of it.

A start may take longer: the daemon waits for its store as long as necessary. Then its own last complaint is shown.
"""

import errno
import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from kernel import spawn
from kernel.errors import KernelError

UNITS = ("tulle-agent", "tulled")
PATIENCE = 30.0
"""Seconds to wait for a start."""
SAID = re.compile(r'\b(?:problem|reason)=("(?:[^"\\]|\\.)*"|\S+)')
"""The complaint in a line of the daemon's log (overlay.monitoring.log)."""


@dataclass(frozen=True, slots=True)
class Start:
    """The result of a start."""

    failure: str = ""  # systemd's error; empty: the daemon is ready
    reason: str = ""  # the daemon's own complaint, or empty


def start(*, again: bool, patience: float = PATIENCE) -> Start:
    """Enable and start the units, or restart them with `again`. Raises KernelError without systemctl."""
    since = int(time.time())
    try:
        for words in (("enable", *UNITS), ("restart" if again else "start", *UNITS)):
            done = spawn.run(["systemctl", *words], within=patience, meanwhile=_progress(since))
            if done.code:
                return Start(f"systemctl {' '.join(words)}: {done.stderr.strip()}", reason(since))
    except KernelError as problem:
        if problem.errno != errno.ETIMEDOUT:
            raise
        return Start(f"tulled has not finished its start after {patience:.0f} s, and goes on trying", reason(since))
    finally:
        _wipe()
    return Start()


def reason(since: int) -> str:
    """Return tulled's last complaint in the journal; empty when there is none, or no journal."""
    words = ["journalctl", "-u", "tulled", "-o", "cat", "--no-pager", "-n", "50", "--since", f"@{since}"]
    try:
        lines = spawn.run(words, within=5.0).stdout.splitlines()
    except KernelError:
        return ""
    return next((told for line in reversed(lines) if (told := complaint(line))), "")


def complaint(line: str) -> str:
    """Return the complaint in one line of the daemon's log, or empty."""
    found = SAID.search(line)
    if found is not None:
        word = found[1]
        return str(json.loads(word)) if word.startswith('"') else word
    return line.removeprefix("tulled: ") if line.startswith("tulled: ") else ""


def _progress(since: int) -> Callable[[float], None] | None:
    """Return the text that a terminal shows every second: the seconds, and what is waited for."""
    if not sys.stderr.isatty():
        return None

    def show(seconds: float) -> None:
        why = reason(since) if seconds >= 2 else ""
        print(
            f"\r\x1b[Kwaiting for tulled, {seconds:.0f} s{f': {why:.120}' if why else ''}",
            end="",
            file=sys.stderr,
            flush=True,
        )

    return show


def _wipe() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
