"""Reads files of other programs safely, for commands that look at whole directories.

A FIFO or a device has no end, a link may lead to one, JSON may be nested until the parser fails. Whatever is no regular
file of a sensible size becomes an error with a text, at once.
"""

import json
import os
import stat
from pathlib import Path
from typing import Any

LARGEST = 16 * 2**20
"""Bytes. A hosts file of ten thousand hosts has a tenth of it."""

OPENING = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
"""No FIFO and no device can make us wait."""


NULL = os.makedev(1, 3)
"""/dev/null: people use it as an empty file."""


class Unfit(ValueError):  # noqa: N818 - a state of the file
    """A file that is not read: no regular file, too large, no UTF-8 or no JSON. The text is the reason."""


def content(path: Path, largest: int = LARGEST) -> bytes:
    """Return the bytes of a regular file. Raises OSError, and Unfit for another kind or more than `largest` bytes."""
    try:
        descriptor = os.open(path, OPENING)
    except ValueError as wrong:
        raise Unfit(f"no path: {wrong}") from wrong
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        if status.st_rdev == NULL and stat.S_ISCHR(status.st_mode):
            return b""
        raise Unfit("it is a directory" if stat.S_ISDIR(status.st_mode) else "it is no regular file")
    with open(descriptor, "rb") as file:  # noqa: PTH123 - the descriptor is open already
        data = file.read(largest + 1)
    if len(data) > largest:
        raise Unfit(f"it is larger than {largest >> 20} MiB")
    return data


def text(path: Path) -> str:
    """Return the text of a regular file in UTF-8. Raises OSError and Unfit."""
    try:
        return content(path).decode()
    except UnicodeDecodeError as wrong:
        raise Unfit(f"it is no UTF-8: {wrong}") from wrong


def document(path: Path) -> Any:
    """Return the JSON value in a regular file. Raises OSError and Unfit."""
    try:
        return json.loads(text(path))
    except RecursionError:
        raise Unfit("it is nested too deeply") from None
    except ValueError as wrong:  # also of a number with more digits than Python reads
        raise Unfit(f"it is no JSON: {wrong}") from wrong
