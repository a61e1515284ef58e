"""Stores, beside a directory of reservations, what its files say, so that a search does not read them all.

The index is only a hint, and valid only if nobody has changed the directory since it was written. Whoever writes it
sets the directory's modification time to a moment before now, so that any later change is visible, however soon it
comes. An index of another boot is never used, and what it says about a file is checked in that file.

It is outside the directory, where the reference would take it for a reservation.
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
"""Nanoseconds. The coarsest clock with which a kernel stamps files (CONFIG_HZ=100)."""
BACK = 100 * TICK
"""How far before now the directory's modification time is set."""
FEW = 4
"""Reading so few files is quicker than an index."""
LARGEST = 64 * 1024 * 1024
QUIET = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Index:
    """The files of one directory, one line each: the name, then the words of its text."""

    __slots__ = ("_lines",)

    def __init__(self, lines: bytes = b"\n") -> None:
        self._lines = lines

    def names(self, text: str) -> Iterator[str]:
        """Yield the files whose text is `text`, and perhaps others: the caller reads them."""
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
        """Add the file `name` with `text`."""
        self._lines += f"{name} {_words(text)}\n".encode()

    def remove(self, name: str) -> None:
        """Remove the file `name`."""
        start = self._lines.find(f"\n{name} ".encode())
        if start >= 0:
            end = self._lines.index(b"\n", start + 1)
            self._lines = self._lines[:start] + self._lines[end:]

    @property
    def content(self) -> bytes:
        """The lines as they are written."""
        return self._lines


def of(reservations: Iterable[Reservation]) -> Index | None:
    """Return the index of a directory that contains exactly `reservations`, or None if an index would be wrong.

    A change in a subdirectory does not change the directory's time, and a name that contains a blank, or is no text,
    would break its line.
    """
    lines = [b"\n"]
    for each in reservations:
        if "/" in each.path or len(each.path.split()) != 1 or not each.path.isascii():
            return None
        if each.text:
            lines.append(f"{each.path} {_words(each.text)}\n".encode())
    return Index(b"".join(lines))


def load(path: str, directory: int) -> Index | None:
    """Return the index at `path`, relative to `directory`, or None if it is not valid."""
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
    """Write the index, then set the directory's modification time. Done half, it is an index that is not valid.

    An index of few lines is deleted instead. An error of the disk only makes the next command read every file.
    """
    lines = index.content
    with contextlib.suppress(OSError):
        if lines.count(b"\n") - 1 <= FEW:
            os.unlink(path, dir_fd=directory)
            return
        moment = time.time_ns() - BACK
        # In this order: a kill between the two leaves an index whose time does not match, so it is not used.
        overwrite.overwrite(path, _header(moment, lines) + lines, directory)
        os.utime(directory, ns=(moment, moment))


def _header(changed: int, lines: bytes) -> bytes:
    return b"%s %d %d" % (boot.current(), changed, len(lines))


def _words(text: str) -> str:
    return " ".join(text.split())
