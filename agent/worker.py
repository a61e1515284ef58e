"""One warm process: takes requests off the shared socket one at a time, until it is told to stop or is no longer as good as new.

Ends by os._exit only, with a code that tells the supervisor why. Must not know how many of its kind there are.
"""

import os
import signal
import socket
import struct
import traceback
from enum import IntEnum
from fcntl import F_GET_SEALS, fcntl
from typing import NoReturn

from agent import admission, peer, protocol, serving
from agent.catalogue import PROGRAMS
from agent.home import Home
from agent.identity import Build
from agent.protocol import COUNT, DeclinedError, Descriptors, Head, Reason
from agent.serving import Wanted
from agent.table import Row
from cni.program import Program
from cni.siblings import Siblings

ARRIVAL = struct.pack("@ll", 0, 200_000)  # struct timeval
"""How long a launcher may take from connecting to its datagram: then it has gone its own way."""

FILE_BYTES = 16 << 20
"""More than execve(2) lets any environment have, and than a program reads of a configuration (cni.dispatch)."""

LOOK_EVERY = 32
"""Requests between two looks at the memory."""


class End(IntEnum):
    """Why a worker ended by itself: its exit code."""

    ASKED = 0
    FAILED = 1
    GROWN = 10
    UNCLEAN = 11
    REPLACED = 12


class _Stop(BaseException):
    """The supervisor wants no further request to be begun."""


class Worker:
    """Serves until there is a reason not to."""

    def __init__(self, listener: socket.socket, row: Row, build: Build, siblings: Siblings, *, growth: int) -> None:
        self._listener = listener
        self._row = row
        self._build = build
        self._siblings = siblings
        self._place = peer.own()
        self._process = f"/proc/{os.getpid()}"
        self._home = Home()
        self._limit = resident() + growth
        self._busy = False
        self._stopping = False

    def run(self) -> NoReturn:
        """Serve requests; end the process."""
        try:
            signal.signal(signal.SIGTERM, self._asked)
            end = self._serve_all()
        except _Stop:
            end = End.ASKED
        except BaseException:  # noqa: BLE001 - whatever happens, this process never runs the supervisor's code
            say(traceback.format_exc())
            end = End.FAILED
        os._exit(end)

    def _asked(self, *_: object) -> None:
        self._stopping = True
        if not self._busy:
            raise _Stop

    def _serve_all(self) -> End:
        while not self._stopping:
            connection, _ = self._listener.accept()
            with connection:
                self._serve(connection)
            self._busy = False
            if end := self._flaw():
                return end
        return End.ASKED

    def _serve(self, connection: socket.socket) -> None:
        """Serve, decline or drop one request, and close all that came with it."""
        received: list[int] = []
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, ARRIVAL)
            wanted = self._admitted(connection, protocol.receive(connection, received), received)
            self._busy = True
            self._row.begin()
            self._run(connection, wanted)
        except DeclinedError as declined:
            protocol.decline(connection, declined.reason)
            self._row.count_declined(declined.reason)
        except OSError as broken:
            say(f"a request was dropped: {broken}")
        finally:
            for descriptor in received:
                os.close(descriptor)
            self._row.end()

    def _admitted(self, connection: socket.socket, data: bytes, received: list[int]) -> Wanted:
        """Return what is asked; DeclinedError when it may not be asked, or not here."""
        head = protocol.parse(data)
        if head.build != self._build.number:
            raise DeclinedError(Reason.BUILD)
        if self._build.is_replaced():
            raise DeclinedError(Reason.REPLACED)
        if len(received) != COUNT:
            raise DeclinedError(Reason.MALFORMED)
        sent = Descriptors(*received)
        caller = peer.read(connection)
        if reason := admission.refusal(self._place, caller, peer.claims(sent)):
            raise DeclinedError(reason)
        environ = variables(content(sent.environ))
        self._check_netns(environ.get("CNI_NETNS", ""))
        return Wanted(_program(head), environ, content(sent.stdin), sent, caller.umask)

    def _check_netns(self, path: str) -> None:
        try:
            resolved = os.path.realpath(path) if path else ""
        except (OSError, ValueError):
            resolved = path
        if reason := admission.misplaced(path, resolved, self._process):
            raise DeclinedError(reason)

    def _run(self, connection: socket.socket, wanted: Wanted) -> None:
        """Pass the commit point, then serve and answer."""
        if protocol.has_hung_up(connection):
            raise DeclinedError(Reason.GONE)
        if not commit(wanted.sent.token):
            self._row.count_withdrawn()
            return
        if not protocol.take(connection):
            raise DeclinedError(Reason.GONE)
        status, printed = serving.serve(wanted, self._siblings)
        self._row.count_warm()
        document = serving.sealed("cni-stdout", printed)
        try:
            protocol.answer(connection, status, document)
        finally:
            os.close(document)

    def _flaw(self) -> End | None:
        """Return why this worker should serve no further request."""
        if late := self._home.late_modules():
            self._row.count_late(len(late))
            say(f"modules were loaded by a request: {' '.join(late)}")
        if differences := list(self._home.differences()):
            say(f"a request left something behind: {'; '.join(differences)}")
            return End.UNCLEAN
        if self._row.warm % LOOK_EVERY == 0 and resident() > self._limit:
            say(f"has grown to {resident() >> 20} MiB")
            return End.GROWN
        return End.REPLACED if self._build.is_replaced() else None


def resident() -> int:
    """Return how many bytes of this process are in memory (proc_pid_statm(5))."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - at every few requests
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def content(file: int) -> bytes:
    """Return what a sealed memory file holds, wherever its offset is; DeclinedError when it is none, or too large."""
    check_sealed(file)
    size = os.fstat(file).st_size
    if size > FILE_BYTES:
        raise DeclinedError(Reason.MALFORMED)
    return os.pread(file, size, 0)


def check_sealed(file: int) -> None:
    """Decline anything but a memory file nobody can change: reading another may never end."""
    try:
        seals = fcntl(file, F_GET_SEALS)
    except OSError as other:
        raise DeclinedError(Reason.MALFORMED) from other
    if seals & serving.SEALS != serving.SEALS:
        raise DeclinedError(Reason.MALFORMED)


def variables(block: bytes) -> dict[str, str]:
    """Return the environment that NUL-terminated strings make, as the interpreter would have read it: the first of a name counts."""
    found: dict[str, str] = {}
    for entry in block.split(b"\0"):
        name, equals, value = entry.partition(b"=")
        if equals:
            found.setdefault(os.fsdecode(name), os.fsdecode(value))
    return found


def say(text: str) -> None:
    """Write a line to the agent's log."""
    os.write(2, f"tulle agent: worker {os.getpid()}: {text}\n".encode(errors="replace"))


def _program(head: Head) -> Program:
    if head.program not in PROGRAMS:
        raise DeclinedError(Reason.PROGRAM)
    return PROGRAMS[head.program]


def commit(token: int) -> bool:
    """Take the one byte that is in the pipe; False when the launcher has taken it."""
    try:
        os.set_blocking(token, False)
        return len(os.read(token, 1)) == 1
    except BlockingIOError:
        return False
