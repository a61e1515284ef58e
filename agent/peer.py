"""Asks the kernel who is at the other end of a connection. Must not decide anything.

The process is held by a descriptor (SO_PEERPIDFD, Linux 6.5) or opened by number and then seen to be alive, so that what
/proc says is said of the one that connected and not of a later process with its number.
"""

import os
import select
import socket
import struct

from agent.admission import Claims, Identity, Peer, Place
from agent.protocol import DeclinedError, Descriptors, Reason

SO_PEERPIDFD = 77  # asm-generic/socket.h
CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
STATUS_BYTES = 8192


def own() -> Place:
    """Return where this process stands."""
    directory = _open("/proc/self")
    try:
        return _place(directory)
    finally:
        os.close(directory)


def read(connection: socket.socket) -> Peer:
    """Return what the kernel says of the process that made the connection; DeclinedError when it is gone or not to be seen."""
    pid, _, _ = CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
    if pid <= 0:
        raise DeclinedError(Reason.PROCESSES)
    opened: list[int] = []
    try:
        opened.append(_pidfd(connection, pid))
        opened.append(_open(f"/proc/{pid}"))
        peer = _peer(opened[1])
        if _has_ended(opened[0]):
            raise DeclinedError(Reason.GONE)
    except OSError as hidden:
        raise DeclinedError(Reason.GONE) from hidden
    finally:
        for descriptor in opened:
            os.close(descriptor)
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


def _has_ended(pidfd: int) -> bool:
    """Tell whether a process has ended: its descriptor is readable then (pidfd_open(2))."""
    watch = select.poll()
    watch.register(pidfd, select.POLLIN)
    return bool(watch.poll(0))


def _peer(directory: int) -> Peer:
    told = _status(directory)
    return Peer(
        place=_place(directory),
        net=_namespace(directory, "net"),
        capabilities=int(told["CapEff"], 16),
        umask=int(told["Umask"], 8),
    )


def _place(directory: int) -> Place:
    root = os.open("root", os.O_PATH | os.O_CLOEXEC, dir_fd=directory)
    try:
        return Place(
            mnt=_namespace(directory, "mnt"),
            user=_namespace(directory, "user"),
            pid=_namespace(directory, "pid"),
            root=_identity(os.fstat(root)),
            mount=_mount(root),
        )
    finally:
        os.close(root)


def _namespace(directory: int, name: str) -> Identity:
    return _identity(os.stat(f"ns/{name}", dir_fd=directory))


def _status(directory: int) -> dict[str, str]:
    """Return the lines of /proc/PID/status by name (proc_pid_status(5))."""
    descriptor = os.open("status", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        lines = os.read(descriptor, STATUS_BYTES).decode("utf-8", "replace").splitlines()
    finally:
        os.close(descriptor)
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _mount(descriptor: int) -> int:
    """Return the number of the mount an open file is on (proc_pid_fdinfo(5))."""
    info = _open(f"/proc/self/fdinfo/{descriptor}", os.O_RDONLY)
    try:
        fields = dict(line.split(":", 1) for line in os.read(info, STATUS_BYTES).decode().splitlines())
    finally:
        os.close(info)
    return int(fields["mnt_id"])


def _open(path: str, flags: int = os.O_PATH | os.O_DIRECTORY) -> int:
    return os.open(path, flags | os.O_CLOEXEC)


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino
