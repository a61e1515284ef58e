"""Replaces a file in one step: readers, and a power failure, leave the old content or the new, never a part.

It is for small files that other processes read at any time.
"""
# pathlib costs milliseconds that every container's start would pay:
# ruff: noqa: PTH104, PTH108, PTH120, PTH123

from __future__ import annotations

import contextlib
import os

FRESH = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""The pending file may be a killed writer's, but neither a link that leads elsewhere nor a FIFO that holds us up."""


def replace(path: str, content: bytes, mode: int, *, pending: str) -> None:
    """Write `content` to `pending`, a name in the directory of `path`, and rename it; `mode` holds whatever the umask.

    Raises OSError, and has then removed `pending`.
    """
    try:
        _write(pending, content, mode)
        os.rename(pending, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(pending)
        raise
    _sync(os.path.dirname(path) or ".")


def _write(path: str, content: bytes, mode: int) -> None:
    descriptor = os.open(path, FRESH, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)


def _sync(folder: str) -> None:
    """Make the rename durable too; a file system that cannot sync a folder has nothing to add."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
