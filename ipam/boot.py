"""Stamps a claim with the boot and the machine it was made in, where the reference never looks: in an extended attribute of its file.

A container does not outlive the kernel, so a claim stamped by another boot is dead; the boot's own id says so, never a clock.
Another boot of another machine may be running at this moment, where two share a directory: the machine's id tells them apart.
The stamp lives and dies with the file. Without one, or on a file system that keeps none (a /run is emptied by a reboot
anyway), nothing is known and nothing is freed.
"""

from __future__ import annotations

import contextlib
import os
from functools import cache

BOOT_ID = "/proc/sys/kernel/random/boot_id"
"""random(4): a UUID that the kernel draws once when it starts."""
MACHINE_ID = "/etc/machine-id"
"""machine-id(5): 32 hexadecimal digits, one installation's for ever."""
ATTRIBUTE = "user.tulle.boot"
LENGTH, MACHINE_LENGTH = 36, 32


def current() -> bytes:
    """Return the id of this boot, empty where the kernel does not tell."""
    try:
        told = _told()
    except OSError:
        return b""
    return told if len(told) == LENGTH else b""


def machine() -> bytes:
    """Return the id of this machine, empty where it has none."""
    try:
        told = _machine_told()
    except OSError:
        return b""
    return told if len(told) == MACHINE_LENGTH and told.isalnum() else b""


def stamp(descriptor: int) -> None:
    """Stamp an open file with this boot and machine, if that is possible at all."""
    if now := current():
        with contextlib.suppress(OSError):
            os.setxattr(descriptor, ATTRIBUTE, b"%s %s" % (now, machine()))


def is_earlier(descriptor: int, *, anywhere: bool) -> bool:
    """Tell whether an open file is known to be of another boot than this: of this machine's, or `anywhere`."""
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
    """Ask the kernel; no process outlives its answer."""
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
