"""Remembers beside a directory of claims what its files say, so that looking for one claim does not read them all.

Only a hint, kept outside the directory because the reference would read it as a reservation, and believed only while nobody
has touched the directory since: whoever writes the index sets the directory's time of change to a moment of its own choice
before now, so that any later change shows, however soon it comes. Another boot's index is never believed, and what it says
of a file is checked there. Must not decide who gets an address.
"""

from __future__ import annotations

import contextlib
import os
import time

from ipam import boot, overwrite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ipam.claims import Reservation

TICK = 10_000_000
"""Nanoseconds: the coarsest clock a kernel stamps files with (CONFIG_HZ=100)."""
BACK = 100 * TICK
"""How far before now the directory is said to have changed last."""
FEW = 4
"""Reading so many files costs less than an index."""
LARGEST = 64 * 1024 * 1024
QUIET = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Index:
    """The files of one directory, a line each: name, then the words of its text."""

    __slots__ = ("_lines",)

    def __init__(self, lines: bytes = b"\n") -> None:
        self._lines = lines

    def names(self, text: str) -> Iterator[str]:
        """Yield the files that said `text`, and perhaps others; whoever asks looks into them."""
        words = _words(text)
        end = f" {words}\n".encode(errors="replace")
        place = self._lines.find(end)
        while place >= 0:
            start = self._lines.rfind(b"\n", 0, place) + 1
            name, _, rest = self._lines[start : place + len(end) - 1].decode().partition(" ")
            if rest == words:
                yield name
            place = self._lines.find(end, place + 1)

    def add(self, name: str, text: str) -> None:
        """Note that file `name` says `text`."""
        self._lines += f"{name} {_words(text)}\n".encode()

    def remove(self, name: str) -> None:
        """Forget file `name`."""
        start = self._lines.find(f"\n{name} ".encode())
        if start >= 0:
            end = self._lines.index(b"\n", start + 1)
            self._lines = self._lines[:start] + self._lines[end:]

    @property
    def content(self) -> bytes:
        """The lines as they are written."""
        return self._lines


def of(reservations: Iterable[Reservation]) -> Index | None:
    """Return the index of a directory that holds exactly `reservations`.

    None where one would not do: a change in a folder below does not show in the directory's time, and a name with a blank
    in it, or one that is no text, would break its line.
    """
    lines = [b"\n"]
    for each in reservations:
        if "/" in each.path or len(each.path.split()) != 1 or not each.path.isascii():
            return None
        if each.text:
            lines.append(f"{each.path} {_words(each.text)}\n".encode())
    return Index(b"".join(lines))


def load(path: str, directory: int) -> Index | None:
    """Return the index at `path`, relative to `directory`, or None when it is not to be believed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | QUIET, dir_fd=directory)
        try:
            written = os.fstat(descriptor)
            data = os.read(descriptor, min(written.st_size, LARGEST))
        finally:
            os.close(descriptor)
    except OSError:
        return None
    changed = os.fstat(directory).st_mtime_ns
    header, newline, lines = data.partition(b"\n")
    lines = newline + lines
    if not boot.current() or header != _header(changed, lines) or written.st_mtime_ns - changed <= TICK:
        return None
    return Index(lines)


def save(index: Index, path: str, directory: int) -> None:
    """Write the index and set the directory's time of change, in this order: half of it done is an index nobody believes.

    One of few lines is removed instead. What the disk refuses costs the next caller a look at every file, no more.
    """
    lines = index.content
    with contextlib.suppress(OSError):
        if lines.count(b"\n") - 1 <= FEW:
            os.unlink(path, dir_fd=directory)
            return
        moment = time.time_ns() - BACK
        overwrite.overwrite(path, _header(moment, lines) + lines, directory)
        os.utime(directory, ns=(moment, moment))


def _header(changed: int, lines: bytes) -> bytes:
    return b"%s %d %d" % (boot.current(), changed, len(lines))


def _words(text: str) -> str:
    return " ".join(text.split())
