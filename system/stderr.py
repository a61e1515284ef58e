"""A stderr that never blocks and never ends the process: full disk, unread pipe, stopped terminal, or closed.

What cannot be written within a moment is lost, and counted. Other processes may share the open file of descriptor 2, so
it is never made non-blocking; where writing could block, it is opened again for each line.
"""

from __future__ import annotations

import io
import os
import select
import stat
import sys

WAIT_MS = 200
"""How long a line waits for room; the next ones do not, until there was some."""

PIPE_BUF = 4096  # linux/limits.h: what a pipe that is ready takes at once

WAITING = (stat.S_IFIFO, stat.S_IFCHR)
"""What may be opened anew; a file has its offset in common with others, and does not wait."""

ANEW = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Stderr(io.TextIOBase):
    """Text to descriptor 2, written at once; `lost` are the lines that could not be, since somebody asked."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.lost = 0
        self._patience = WAIT_MS
        self._written = False
        self._begun = ""

    def write(self, text: str, /) -> int:
        """Write whole lines, or count them, and keep the rest for the next; return how many characters were taken.

        Never raises.
        """
        lines, end, rest = (self._begun + text).rpartition("\n")
        self._begun = rest
        if end:
            self._put(lines + end)
        return len(text)

    def flush(self) -> None:
        """Write what has no end yet."""
        text, self._begun = self._begun, ""
        if text:
            self._put(text)

    def _put(self, text: str) -> None:
        try:
            self._written = self._write(text.encode("utf-8", "backslashreplace"))
        except OSError:
            self._written = False
        if not self._written:
            self.lost += max(1, text.count("\n"))

    def regained(self) -> int:
        """Return how many lines were lost before the last one, which was written; 0 while they still are.

        Each is told once.
        """
        told = self.lost if self._written else 0
        self.lost -= told
        return told

    def writable(self) -> bool:
        """Tell that it is for writing."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return 2

    def isatty(self) -> bool:
        """Return whether a person reads it."""
        return os.isatty(2)

    def _write(self, rest: bytes) -> bool:
        descriptor = _opened()
        try:
            room = select.poll()
            room.register(descriptor, select.POLLOUT)
            while rest:
                if not room.poll(self._patience):
                    self._patience = 0
                    return False
                rest = rest[os.write(descriptor, rest[:PIPE_BUF]) :]
        finally:
            if descriptor != 2:
                os.close(descriptor)
        self._patience = WAIT_MS
        return True


def _opened() -> int:
    """Return a descriptor that does not wait, 2 itself where there is none."""
    if stat.S_IFMT(os.fstat(2).st_mode) not in WAITING:
        return 2
    try:
        return os.open("/proc/self/fd/2", ANEW)
    except OSError:
        return 2


def install() -> None:
    """Have this process write to such a stderr, its descriptors 0 to 2 filled lest a socket become one of them."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stderr = Stderr()
