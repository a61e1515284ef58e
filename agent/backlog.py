"""Requests that came while every worker was busy: the supervisor accepts them, the next free worker serves them.

A launcher waits 200 ms for an answer and then starts a process of its own, which makes a busy machine busier; with an
answer it waits. A waiting request is held by the kernel: its connection and descriptors are in one datagram of a socket
pair that all workers read from. So it outlives any worker, and ends with the last one. A caller that may not ask is
declined before anything is received from it.
"""

import array
import fcntl
import os
import select
import socket
import struct
import time
from dataclasses import dataclass, field

from agent import protocol
from agent.judging import Place, judged
from agent.peercred import Caller
from agent.protocol import COUNT, MOST, DeclinedError, Reason
from agent.worker_table import Row

ARRIVAL = struct.pack("@ll", 0, 200_000)  # struct timeval
"""How long a launcher may take from connecting to its datagram: then it has gone its own way."""

LONGEST = 10.0
"""Seconds a request waits here when no worker gets free at all; then its launcher is sent on to the cold program."""

SPACE = 1 << 22
"""Bytes of send buffer.

The kernel doubles it, and a quarter counts as room (unix_writable of Linux): 400 requests of 3 KiB.
"""

SO_SNDBUFFORCE = 32  # asm-generic/socket.h: beyond net.core.wmem_max, for who has CAP_NET_ADMIN

SINCE = struct.Struct("@q")
DATAGRAM_BYTES = SINCE.size + protocol.DATAGRAM_BYTES
ANCILLARY_BYTES = socket.CMSG_SPACE((MOST + 2) * array.array("i").itemsize)


@dataclass(slots=True)
class Arrival:
    """One request as it came; whoever holds it closes it.

    `caller` is who asks, once that is judged; `received` are the descriptors that came with `data`, `opened` those of
    ours that belong to it. `taken`: its launcher has been told that it need not watch the clock.
    """

    connection: socket.socket
    """The connection to the launcher."""
    caller: Caller | None = None
    """The process at its other end; None if it is not known."""
    data: bytes = b""
    """The datagram."""
    received: list[int] = field(default_factory=list)
    """The descriptors that came with it."""
    opened: list[int] = field(default_factory=list)
    """Descriptors that were opened for it."""
    taken: bool = False
    """Whether the supervisor has told the launcher to wait."""

    @property
    def token(self) -> int:
        """What passes the commit point: the first that came."""
        return self.received[0]

    @property
    def files(self) -> list[int]:
        """The memory files of stdin and environment; none when the datagram holds both."""
        return self.received[COUNT:]

    def close(self) -> None:
        """Close the connection and all that came with it."""
        for descriptor in (*self.received, *self.opened):
            os.close(descriptor)
        if self.caller:
            self.caller.close()
        self.connection.close()


class Overflow:
    """The queue: the supervisor puts, workers get."""

    def __init__(self, longest: float = LONGEST) -> None:
        self._longest = longest
        kind = socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK
        self._entry, self._exit = socket.socketpair(socket.AF_UNIX, kind)
        _enlarge(self._entry)
        self._room = select.poll()
        self._room.register(self._entry, select.POLLOUT)

    def fileno(self) -> int:
        """Return the descriptor that is readable when a request waits."""
        return self._exit.fileno()

    def has_room(self) -> bool:
        """Return whether another request may be put."""
        return bool(self._room.poll(0))

    def is_empty(self) -> bool:
        """Return whether no request waits."""
        return self._peek() is None

    def is_late(self) -> bool:
        """Return whether the first request has waited for too long."""
        since = self._peek()
        return since is not None and time.monotonic_ns() - since > self._longest * 1e9

    def put(self, arrival: Arrival, caller: Caller) -> None:
        """Add a request, whose descriptors stay whoever's calls to close; OSError when there is no room."""
        descriptors = array.array("i", [arrival.connection.fileno(), caller.fileno(), *arrival.received])
        data = SINCE.pack(time.monotonic_ns()) + arrival.data
        self._entry.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])

    def get(self) -> Arrival | None:
        """Remove and return the request that has waited longest, None when none waits."""
        try:
            data, ancillary, _, _ = self._exit.recvmsg(DATAGRAM_BYTES, ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        if not data:
            return None  # the supervisor has died
        descriptors = array.array("i")
        for _, _, content in ancillary:
            descriptors.frombytes(content)
        number, pidfd, *received = descriptors
        connection = socket.socket(fileno=number)
        return Arrival(connection, Caller(connection, pidfd), data[SINCE.size :], received, taken=True)

    def close_entry(self) -> None:
        """Become a reader only: the queue ends when its last writer does."""
        self._entry.close()

    def close(self) -> None:
        """Let go of both ends."""
        self._entry.close()
        self._exit.close()

    def _peek(self) -> int | None:
        """Return when the first request came (monotonic, in ns); its descriptors are not received."""
        try:
            since = self._exit.recv(SINCE.size, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        return int(SINCE.unpack(since)[0]) if since else None


def _enlarge(entry: socket.socket) -> None:
    try:
        entry.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, SPACE)
    except PermissionError:
        entry.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SPACE)


def take_ahead(connection: socket.socket, build: bytes, here: Place, row: Row, overflow: Overflow) -> None:
    """Take one request for the first worker that will be free; decline or drop it when that is certain already.

    OSError when the connection breaks. The launcher is of our own build, so it knows that a refusal may follow
    (docs/agent.md).
    """
    arrival = Arrival(connection)
    try:
        arrival.caller = judged(connection, here)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, ARRIVAL)
        arrival.data = protocol.receive(connection, arrival.received)
        protocol.check(arrival.data, arrival.received, build)
        arrival.caller.check()
        if pass_commit_point(arrival, row):
            _put(arrival, arrival.caller, overflow)
    except DeclinedError as declined:
        protocol.decline(connection, declined.reason)
        row.count_declined(declined.reason)
    finally:
        arrival.close()


def pass_commit_point(arrival: Arrival, row: Row) -> bool:
    """Take the request off its launcher; False when that has withdrawn it, DeclinedError when it has ended."""
    if not take_token(arrival.token):
        row.count_withdrawn()
        return False
    row.take()
    if not protocol.take(arrival.connection):
        raise DeclinedError(Reason.GONE)
    return True


def take_token(token: int) -> bool:
    """Take the one byte that is in the pipe; False when the launcher has taken it.

    DeclinedError for what is no pipe: it may never answer.
    """
    try:
        fcntl.fcntl(token, fcntl.F_GETPIPE_SZ)
    except OSError as other:
        raise DeclinedError(Reason.MALFORMED) from other
    try:
        os.set_blocking(token, False)
        return len(os.read(token, 1)) == 1
    except BlockingIOError:
        return False


def _put(arrival: Arrival, caller: Caller, overflow: Overflow) -> None:
    try:
        overflow.put(arrival, caller)
    except OSError as full:
        raise DeclinedError(Reason.CROWDED) from full
