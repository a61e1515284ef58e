"""Stamps a claim with the boot it was made in, where the reference never looks: in an extended attribute of its file.

A container does not outlive the kernel, so a claim stamped by another boot is dead; the boot's own id says so, never a clock.
The stamp lives and dies with the file. Without one, or on a file system that keeps none (a /run is emptied by a reboot
anyway), nothing is known and nothing is freed.
"""

from __future__ import annotations

import contextlib
import os
from functools import cache

BOOT_ID = "/proc/sys/kernel/random/boot_id"
"""random(4): a UUID that the kernel draws once when it starts."""
ATTRIBUTE = "user.tulle.boot"
LENGTH = 36


def current() -> bytes:
    """Return the id of this boot, empty where the kernel does not tell."""
    try:
        told = _told()
    except OSError:
        return b""
    return told if len(told) == LENGTH else b""


@cache
def _told() -> bytes:
    """Ask the kernel; no process outlives its answer."""
    descriptor = os.open(BOOT_ID, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, LENGTH)
    finally:
        os.close(descriptor)


def stamp(descriptor: int) -> None:
    """Stamp an open file with this boot, if that is possible at all."""
    if now := current():
        with contextlib.suppress(OSError):
            os.setxattr(descriptor, ATTRIBUTE, now)


def is_earlier(descriptor: int) -> bool:
    """Tell whether an open file is known to be of another boot than this."""
    try:
        stamped = os.getxattr(descriptor, ATTRIBUTE)
    except OSError:
        return False
    now = current()
    return bool(now) and len(stamped) == LENGTH and stamped != now
