"""Marks a reservation's file with the boot and the machine in which it was made, in an extended attribute.

A container does not survive a reboot, so a reservation of another boot belongs to nobody. The boot's id shows that; a
clock could be wrong. Two machines may share a directory: the machine's id keeps one from freeing what the other uses.
The reference does not look at the attribute. Without it, or on a file system that has no attributes, nothing is freed.
(A reboot empties /run anyway.)
"""

from __future__ import annotations

import contextlib
import os
from functools import cache

BOOT_ID = "/proc/sys/kernel/random/boot_id"
"""random(4): a UUID that the kernel makes at each boot."""
MACHINE_ID = "/etc/machine-id"
"""machine-id(5): 32 hexadecimal digits, the same as long as the system is installed."""
ATTRIBUTE = "user.tulle.boot"
LENGTH, MACHINE_LENGTH = 36, 32


def current() -> bytes:
    """Return the id of this boot; empty where the kernel has none."""
    try:
        told = _told()
    except OSError:
        return b""
    return told if len(told) == LENGTH else b""


def machine() -> bytes:
    """Return the id of this machine; empty where it has none."""
    try:
        told = _machine_told()
    except OSError:
        return b""
    return told if len(told) == MACHINE_LENGTH and told.isalnum() else b""


def stamp(descriptor: int) -> None:
    """Mark an open file with this boot and machine, if the file system can."""
    if now := current():
        with contextlib.suppress(OSError):
            os.setxattr(descriptor, ATTRIBUTE, b"%s %s" % (now, machine()))


def is_earlier(descriptor: int, *, anywhere: bool) -> bool:
    """Return whether an open file is known to be of another boot: of this machine or, with `anywhere`, of any."""
    try:
        stamped, _, whose = os.getxattr(descriptor, ATTRIBUTE).partition(b" ")
    except OSError:
        return False
    now, here = current(), machine()
    if not now or len(stamped) != LENGTH or stamped == now:
        return False
    return anywhere or (bool(here) and whose == here)


@cache
def _told() -> bytes:
    """Return boot and machine. They are read once, since no process survives a change."""
    return _beginning(BOOT_ID, LENGTH)


@cache
def _machine_told() -> bytes:
    return _beginning(MACHINE_ID, MACHINE_LENGTH)


def _beginning(path: str, length: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, length)
    finally:
        os.close(descriptor)
