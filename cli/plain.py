"""Prints what others wrote (file names, keys, records, logs) so that it is seen and nothing else: no control character reaches a terminal.

Escapes would move the cursor, colour or hide lines, and answer in the keyboard's name; marks that turn the direction of writing show a text
as another. What cannot be encoded is written as an escape, too, instead of ending the program.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, TextIO


def plain(text: str) -> str:
    """Return the text with everything but printable characters, tabs and ends of lines as Python would write it in a literal."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode() for one in text)


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
