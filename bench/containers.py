"""Network namespaces for containers.

Made before anything is timed, with paths as runtimes make them, in a private mount namespace.

They exist until the bench ends: the kernel removes a namespace in the background, which would disturb the next
measurement.
"""

import ctypes
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CLONE_NEWNET = 0x40000000  # linux/sched.h
MS_BIND = 0x1000  # linux/mount.h
OWN = "/proc/thread-self/ns/net"

LIBC = ctypes.CDLL(None, use_errno=True)


def containers(folder: Path) -> Iterator[Path]:
    """Yield paths of new namespaces below `folder`, without end. Raises OSError when one cannot be made."""
    number = 0
    while True:
        number += 1
        path = folder / f"c{number}"
        path.touch()
        with ThreadPoolExecutor(max_workers=1) as maker:
            maker.submit(_make, path).result()
        yield path


def _make(path: Path) -> None:
    """Move this thread, and only it, into a new namespace, and bind that to `path`."""
    _insist(LIBC.unshare(CLONE_NEWNET))
    _insist(LIBC.mount(OWN.encode(), os.fsencode(path), None, MS_BIND, None))


def _insist(outcome: int) -> None:
    if outcome:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
