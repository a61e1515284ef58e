"""Asks the kernel who is at the other end of a connection.

The process is held by a descriptor while it is asked about and used. SO_PEERPIDFD (Linux 6.5) gives that of the process
which connected. Older kernels know its number alone, which may be another process's by now, so there it also has to
prove, after it is held, that it is the one at the other end: it repeats a number just drawn, and the kernel attaches
its own number to that. Nothing of what the caller sent is touched, and no file system is asked but the kernel's own.
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
