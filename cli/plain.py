"""Prints texts of others (file names, keys, records, logs) without control characters.

Escape sequences could move the cursor, colour or hide lines, and send input as if typed; marks for the direction of
writing show a text as another one. A character that cannot be encoded is written as an escape, too, instead of ending
the program.
"""

import contextlib
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any, TextIO


def plain(text: str) -> str:
    """Return the text with all but printable characters, tabs and newlines as Python would write them in a literal."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode() for one in text)


def fitted(text: str, width: int) -> str:
    """Return a text with lines of at most `width`, where they can be broken. Continued lines are indented."""
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
    """Return the width of the terminal that is printed to. Without one, lines are not broken."""
    out = sys.stdout  # noqa: TID251 - asks for its width
    return shutil.get_terminal_size().columns if out.isatty() else sys.maxsize


class Plain:
    """A text stream that applies `plain` to what is written and passes it to another stream."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        """Write a text with its control characters escaped, and return its number of characters."""
        written = plain(text)
        try:
            self._out.write(written)
        except UnicodeEncodeError:
            encoding = self._out.encoding or "ascii"
            self._out.write(written.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        """Return the attribute of the other stream."""
        return getattr(self._out, name)


@contextlib.contextmanager
def printing() -> Iterator[None]:
    """Apply `plain` to everything that is printed in the block."""
    out: Any = Plain(sys.stdout)  # noqa: TID251 - the one place that wraps the command's streams
    err: Any = Plain(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield
