"""Decides who may ask, from what the kernel says of the caller and of us. Pure: must not look at anything itself.

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
class Place:
    """Where a process stands: what its paths, ids and names mean. `mount` is the number of the mount its root is on."""

    mnt: Identity
    user: Identity
    pid: Identity
    root: Identity
    mount: int


@dataclass(frozen=True, slots=True)
class Peer:
    """What the kernel says of the caller."""

    place: Place
    net: Identity
    capabilities: int


@dataclass(frozen=True, slots=True)
class Claims:
    """What the descriptors are that the caller sent."""

    mnt: Identity
    user: Identity
    pid: Identity
    root: Identity
    net: Identity


def refusal(own: Place, peer: Peer, claims: Claims) -> Reason | None:
    """Return why the caller may not ask; None when it may."""
    place = peer.place
    if place.user != own.user:
        return Reason.USERS
    if place.mnt != own.mnt:
        return Reason.MOUNTS
    if place.pid != own.pid:
        return Reason.PROCESSES
    if (place.root, place.mount) != (own.root, own.mount):
        return Reason.ROOT
    if claims != Claims(place.mnt, place.user, place.pid, place.root, peer.net):
        return Reason.CLAIMS
    if peer.capabilities & RIGHTS != RIGHTS:
        return Reason.RIGHTS
    return None


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
