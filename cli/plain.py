"""Prints what others wrote (file names, keys, records, logs) so that it is seen and nothing else: no control character reaches a terminal.

Escapes would move the cursor, colour or hide lines, and answer in the keyboard's name; marks that turn the direction of writing show a text
as another. What cannot be encoded is written as an escape, too, instead of ending the program.
"""

import contextlib
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any, TextIO


def plain(text: str) -> str:
    """Return the text with everything but printable characters, tabs and ends of lines as Python would write it in a literal."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode() for one in text)


def fitted(text: str, width: int) -> str:
    """Return a text whose lines are at most `width` wide where they can be broken, each going on below where its text began."""
    return "\n".join(part for line in text.split("\n") for part in _broken(line, width))


def _broken(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    found = re.match(r"\s*(?:\S+ {2,}){0,2}(?:\w+: +)?", line)
    indent = found.end() if found and found.end() <= width * 2 // 3 else 4
    return textwrap.wrap(
        line,
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )


def columns() -> int:
    """Return how wide the terminal is that is printed to; without one, nothing is broken."""
    out = sys.stdout  # noqa: TID251 - asks for its width
    return shutil.get_terminal_size().columns if out.isatty() else sys.maxsize


class Plain:
    """A text stream whose writing is `plain`, before another one that takes it."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        """Write a text, its odd characters escaped; return how many characters it has."""
        written = plain(text)
        try:
            self._out.write(written)
        except UnicodeEncodeError:
            encoding = self._out.encoding or "ascii"
            self._out.write(written.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the stream's own."""
        return getattr(self._out, name)


@contextlib.contextmanager
def printing() -> Iterator[None]:
    """Have everything that is printed in the block be plain."""
    out: Any = Plain(sys.stdout)  # noqa: TID251 - the one place that wraps the command's streams
    err: Any = Plain(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield
