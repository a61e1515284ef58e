"""Overwrites small files in place, without truncating them first.

Only for hints, which are checked before they are used.

If a file is truncated and written again, ext4 writes it to the disk when it is closed (auto_da_alloc, ext4(5)), and
every container's start would wait for that. A kill here leaves a file that is half new and half old.
"""

from __future__ import annotations

import os

QUIET = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def overwrite(path: str, content: bytes, directory: int) -> None:
    """Make `content` the whole content of the file at `path`, relative to `directory`. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | QUIET, 0o600, dir_fd=directory)
    try:
        write(descriptor, content)
        os.ftruncate(descriptor, len(content))
    finally:
        os.close(descriptor)


def write(descriptor: int, content: bytes) -> None:
    """Write all of `content` to an open file. Raises OSError."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
