"""Reads and writes kernel parameters below /proc/sys/net/, and nowhere else (docs/reference/cni.md 7(c)).

A key is the path below /proc/sys with slashes, so that a link name may contain dots: "net/ipv6/conf/eth0.5/accept_ra".
/proc/sys/net shows the namespace of the process that opens it, so every access opens the file again, inside the
namespace meant.
"""

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass

from kernel.errors import KernelError
from kernel.netns import Namespace, inside

ROOT = "/proc/sys/"
READ_BYTES, LONGEST_BYTES = 4096, 1 << 19
"""Sizes of a read: for nearly every parameter, and for a list of all ports, which the kernel gives in one read only."""
ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})


@dataclass(frozen=True, slots=True)
class Parameter:
    """A kernel parameter to be set, and when."""

    key: str
    """The path below /proc/sys."""
    value: str
    """What to write."""
    optional: bool = False
    """Whether a refusal is ignored."""
    compare: bool = False
    """Whether to write only if the parameter exists and has another value."""
    only_if: tuple[tuple[str, str], ...] = ()
    """Keys with a value each; if not empty, it is written only where one of them has that value."""

    @property
    def wanted(self) -> bool:
        """Whether it is to be written, from the values in the namespace we are in."""
        if self.only_if and all(_read(key) != value for key, value in self.only_if):
            return False
        return not (self.compare and _read(self.key) in {None, self.value})


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
    with inside(namespace):
        return _read(key)


def write(key: str, value: str, namespace: Namespace | None = None) -> None:
    """Set a parameter; raises KernelError, with `gone` when the kernel has none of that name."""
    with inside(namespace):
        _write(key, value)


def ensure(key: str, value: str, namespace: Namespace | None = None) -> bool:
    """Set a parameter only when it differs, which also works where /proc/sys is read-only; return whether it did."""
    with inside(namespace):
        if _read(key) == value:
            return False
        _write(key, value)
        return True


def write_all(parameters: Iterable[Parameter], namespace: Namespace | None = None) -> None:
    """Set parameters in order, in one visit to the namespace; raises KernelError for the first refused, not optional one."""
    with inside(namespace):
        for each in parameters:
            try:
                if each.wanted:
                    _write(each.key, each.value)
            except KernelError:
                if not each.optional:
                    raise


def _read(key: str) -> str | None:
    place = path(key)
    try:
        fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            text = os.read(fd, READ_BYTES)
            if len(text) == READ_BYTES:
                text = os.pread(fd, LONGEST_BYTES, 0)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise KernelError(error.errno or errno.EIO, f"reading sysctl {key}") from error
    return text.decode().rstrip("\n")


def _write(key: str, value: str) -> None:
    place = path(key)
    try:
        fd = os.open(place, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            rest = value.encode()
            while rest and (taken := os.write(fd, rest)):
                rest = rest[taken:]
        finally:
            os.close(fd)
    except OSError as error:
        raise KernelError(error.errno or errno.EIO, f"setting sysctl {key} to {value}") from error
