"""Overwrites hints, files that nobody goes by before he has judged what they say: in place, without cutting them first.

A file cut to nothing and written again is taken for a replacement by ext4, which sends it to the disk when it is closed
(auto_da_alloc, ext4(5)): every container's start would wait for that. What a kill leaves here is half new and half old.
"""

from __future__ import annotations

import os

QUIET = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def overwrite(path: str, content: bytes, directory: int) -> None:
    """Have the file at `path`, relative to `directory`, say `content` and nothing else. Raises OSError."""
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
