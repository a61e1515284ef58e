"""Reads and writes kernel parameters, confined to /proc/sys/net/ (contract 7c).

A key is the path below /proc/sys with slashes, so that a link name may contain dots: "net/ipv6/conf/eth0.5/accept_ra".
/proc/sys/net shows the namespace of whoever opens it, so every access opens anew, inside the namespace meant. Must not
know which values are right.
"""

import errno
import os

from kernel.errors import KernelError
from kernel.namespaces import Namespace, inside

ROOT = "/proc/sys/"


def path(key: str) -> str:
    """Return the file behind a key; KernelError EINVAL for one that would lead out of /proc/sys/net/."""
    parts = key.split("/")
    confined = len(parts) > 1 and parts[0] == "net" and not {"", ".", ".."} & set(parts) and "\0" not in key
    if not confined:
        reason = 'a key is a path below "net/" with slashes, like net/ipv4/ip_forward'
        raise KernelError(errno.EINVAL, f'locating sysctl "{key}"', reason)
    return ROOT + key


def read(key: str, namespace: Namespace | None = None) -> str | None:
    """Return a parameter without its line end; None when the kernel has none of that name. Raises KernelError."""
    try:
        return _access(key, os.O_RDONLY, None, namespace)
    except KernelError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            return None
        raise


def write(key: str, value: str, namespace: Namespace | None = None) -> None:
    """Set a parameter; raises KernelError, with `gone` when the kernel has none of that name."""
    _access(key, os.O_WRONLY, value, namespace)


def ensure(key: str, value: str, namespace: Namespace | None = None) -> bool:
    """Set a parameter only when it differs, which also works where /proc/sys is read-only; return whether it did."""
    if read(key, namespace) == value:
        return False
    write(key, value, namespace)
    return True


def _access(key: str, flags: int, value: str | None, namespace: Namespace | None) -> str:
    """Open a parameter inside the namespace, then write `value`, or read when it is None."""
    what = f"reading sysctl {key}" if value is None else f"setting sysctl {key} to {value}"
    place = path(key)
    try:
        with inside(namespace):
            fd = os.open(place, flags | os.O_CLOEXEC | os.O_NOFOLLOW)
        with open(fd, "r" if value is None else "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            if value is None:
                return file.read().rstrip("\n")
            file.write(value)
    except KernelError:
        raise
    except OSError as error:
        raise KernelError(error.errno or errno.EIO, what) from error
    return value
