"""Asks the kernel which process is at the other end of a connection.

The process is held by a descriptor while it is checked, so that its number cannot become another's. SO_PEERPIDFD (Linux
6.5) returns the descriptor of the process that connected. Older kernels return only the number, which may be another
process's already; there the process must also prove that it is the other end: it sends back a random number, and the
kernel attaches the sender's number to that. Nothing else of what the caller sent is used, and no file system but the
kernel's own.
"""

import errno
import os
import signal
import socket

from agent import protocol, syscalls
from agent.admission import Identity, Root, Spaces
from agent.protocol import CREDENTIALS, DeclinedError, Reason

SO_PEERPIDFD = 77  # asm-generic/socket.h
OWN = "/proc/self"


class Caller:
    """The process at the other end, held until `close`.

    Every method raises OSError or DeclinedError when it is not to be seen, or gone.
    """

    __slots__ = ("_certain", "_connection", "_pid", "_pidfd", "_process")

    def __init__(self, connection: socket.socket, pidfd: int = -1) -> None:
        """Hold it; by `pidfd` when another process of ours has held and checked it before."""
        self._connection = connection
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        self._pid, _, _ = CREDENTIALS.unpack(credentials)
        if self._pid <= 0:
            raise DeclinedError(Reason.PROCESSES)
        self._process = f"/proc/{self._pid}"
        try:
            self._pidfd, self._certain = (pidfd, True) if pidfd >= 0 else _held(connection, self._pid)
        except OSError as ended:
            raise DeclinedError(Reason.GONE) from ended

    def fileno(self) -> int:
        """Return the descriptor that holds it."""
        return self._pidfd

    def spaces(self) -> Spaces:
        """Return its namespaces but that of the network."""
        return spaces(self._process)

    def capabilities(self) -> int:
        """Return its effective capabilities, a bit each."""
        return syscalls.capabilities(self._pid)

    def root(self) -> Root:
        """Return its root directory."""
        return root(self._process)

    def net(self) -> Identity:
        """Return its network namespace."""
        return _namespace(self._process, "net")

    def open_net(self) -> int:
        """Return a descriptor of its network namespace."""
        return os.open(f"{self._process}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def open_directory(self) -> int:
        """Return a descriptor of its working directory."""
        return os.open(f"{self._process}/cwd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def check(self) -> None:
        """Return when all that was told was told of the process that connected.

        DeclinedError when that is not certain.
        """
        if not self._certain and protocol.prover(self._connection) != self._pid:
            raise DeclinedError(Reason.GONE)
        try:
            signal.pidfd_send_signal(self._pidfd, 0)  # it has its number still
        except OSError as ended:
            raise DeclinedError(Reason.GONE) from ended

    def close(self) -> None:
        """Let go of it."""
        os.close(self._pidfd)


def spaces(process: str = OWN) -> Spaces:
    """Return the namespaces of a process, given as its directory below /proc."""
    return Spaces(
        mnt=_namespace(process, "mnt"),
        user=_namespace(process, "user"),
        pid=_namespace(process, "pid"),
    )


def root(process: str = OWN) -> Root:
    """Return the root directory of a process, given as its directory below /proc."""
    return Root(*syscalls.directory(f"{process}/root"))


def _held(connection: socket.socket, pid: int) -> tuple[int, bool]:
    """Return a descriptor of the process, and whether it is certainly that of the one that connected."""
    try:
        return connection.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD), True
    except OSError as refused:
        if refused.errno != errno.ENOPROTOOPT:
            raise  # this kernel knows it: the process has ended
    return os.pidfd_open(pid), False


def _namespace(process: str, name: str) -> Identity:
    status = os.stat(f"{process}/ns/{name}")  # noqa: PTH116 - at every request; pathlib takes four times as long
    return status.st_dev, status.st_ino
