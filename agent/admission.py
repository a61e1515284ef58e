"""Decides who may ask, from what the kernel says of the caller and of us.

A worker is root in the host's namespaces. Whoever may ask could have done all of it alone: the same mounts, users,
processes and root directory, and the two capabilities that the cold program needs.
"""

from dataclasses import dataclass

from agent.protocol import Reason

CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21  # linux/capability.h
RIGHTS = 1 << CAP_NET_ADMIN | 1 << CAP_SYS_ADMIN

Identity = tuple[int, int]
"""Device and inode of a namespace or a directory."""


@dataclass(frozen=True, slots=True)
class Spaces:
    """The namespaces of a process that decide what its paths, ids and numbers of processes mean."""

    mnt: Identity
    """The mount namespace."""
    user: Identity
    """The user namespace."""
    pid: Identity
    """The PID namespace."""


@dataclass(frozen=True, slots=True)
class Root:
    """The root directory of a process; `mount` is the number of the mount it is on."""

    directory: Identity
    """The device and inode of the directory."""
    mount: int
    """The id of its mount."""


def refusal(own: Spaces, caller: Spaces, capabilities: int) -> Reason | None:
    """Return why the caller may not ask, from what costs no file system a look.

    None when nothing speaks against it so far.
    """
    if caller.user != own.user:
        return Reason.USERS
    if caller.mnt != own.mnt:
        return Reason.MOUNTS
    if caller.pid != own.pid:
        return Reason.PROCESSES
    if capabilities & RIGHTS != RIGHTS:
        return Reason.RIGHTS
    return None


def misrooted(own: Root, caller: Root) -> Reason | None:
    """Return why a caller with all rights may not ask all the same; None when it may."""
    return None if caller == own else Reason.ROOT


def misplaced(path: str, resolved: str, process: str) -> Reason | None:
    """Return why a CNI_NETNS means another thing here than at the caller's; `process` is our own /proc/PID.

    `resolved` is the path without links, as seen here: /proc/self, and whatever leads there, becomes our own process.
    """
    if path and not path.startswith("/"):
        return Reason.RELATIVE
    inside = any(f"{each}/".startswith(f"{process}/") for each in (path, resolved))
    if inside or path.startswith(("/proc/self/", "/proc/thread-self/")):
        return Reason.OWN
    return None
