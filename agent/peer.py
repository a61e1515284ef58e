"""Asks the kernel who is at the other end of a connection. Must not decide anything.

The process is held by a descriptor (SO_PEERPIDFD, Linux 6.5; else by number) and seen to have its number still when all was asked: what
the kernel said of that number was said of the one that connected, and not of a later process.
"""

import os
import signal
import socket
import struct

from agent import syscalls
from agent.admission import Claims, Identity, Peer, Place
from agent.protocol import DeclinedError, Descriptors, Reason

SO_PEERPIDFD = 77  # asm-generic/socket.h
CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


def own() -> Place:
    """Return where this process stands."""
    return _place("/proc/self")


def read(connection: socket.socket) -> Peer:
    """Return what the kernel says of the process that made the connection; DeclinedError when it is gone or not to be seen."""
    pid, _, _ = CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
    if pid <= 0:
        raise DeclinedError(Reason.PROCESSES)
    process, pidfd = f"/proc/{pid}", -1
    try:
        pidfd = _pidfd(connection, pid)
        peer = Peer(_place(process), _namespace(process, "net"), syscalls.capabilities(pid))
        signal.pidfd_send_signal(pidfd, 0)  # it has its number still
    except OSError as hidden:
        raise DeclinedError(Reason.GONE) from hidden
    finally:
        if pidfd >= 0:
            os.close(pidfd)
    return peer


def claims(sent: Descriptors) -> Claims:
    """Return what the caller's descriptors are."""
    return Claims(
        mnt=_identity(os.fstat(sent.mnt)),
        user=_identity(os.fstat(sent.user)),
        pid=_identity(os.fstat(sent.pid)),
        root=_identity(os.fstat(sent.root)),
        net=_identity(os.fstat(sent.net)),
    )


def _pidfd(connection: socket.socket, pid: int) -> int:
    try:
        return connection.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except OSError:
        return os.pidfd_open(pid)


def _place(process: str) -> Place:
    root, mount = syscalls.directory(f"{process}/root")
    return Place(
        mnt=_namespace(process, "mnt"),
        user=_namespace(process, "user"),
        pid=_namespace(process, "pid"),
        root=root,
        mount=mount,
    )


def _namespace(process: str, name: str) -> Identity:
    return _identity(os.stat(f"{process}/ns/{name}"))  # noqa: PTH116 - at every request; pathlib takes four times as long


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino
