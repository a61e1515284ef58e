"""One warm process: serves requests one at a time, until it is told to stop or is no longer as good as new.

Ends by os._exit only, with a code that tells the supervisor why. Must not know how many of its kind there are.
"""

import os
import select
import signal
import socket
import traceback
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from fcntl import F_GET_SEALS, fcntl
from typing import NoReturn

from agent import admission, peer, protocol, serving
from agent.catalogue import PROGRAMS
from agent.home import Home
from agent.identity import Build
from agent.overflow import ARRIVAL, Arrival, Overflow, pass_commit_point
from agent.protocol import DeclinedError, Descriptors, Head, Reason
from agent.serving import Wanted
from agent.table import Table
from cni.program import Program
from cni.siblings import Siblings
from kernel import background

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


@dataclass(frozen=True, slots=True)
class Sources:
    """Where requests come from: the shared socket, and what was taken already. A byte in `bell` tells the supervisor that all are busy."""

    listener: socket.socket
    overflow: Overflow
    bell: int


class Worker:
    """Serves until there is a reason not to."""

    def __init__(
        self, sources: Sources, table: Table, row: int, build: Build, siblings: Siblings, *, growth: int
    ) -> None:
        self._sources = sources
        self._table = table
        self._row = table.rows[row]
        self._build = build
        self._siblings = siblings
        self._watch = _watch(sources)
        self._place = peer.own()
        self._process = f"/proc/{os.getpid()}"
        self._home = Home()
        self._limit = resident() + growth
        self._idle = False
        self._stopping = False

    def run(self) -> NoReturn:
        """Serve requests; end the process."""
        try:
            signal.signal(signal.SIGTERM, self._asked)
            end = self._serve_all()
        except BaseException:  # noqa: BLE001 - whatever happens, this process never runs the supervisor's code
            say(traceback.format_exc())
            end = End.FAILED
        os._exit(end)

    def _asked(self, *_: object) -> None:
        self._stopping = True
        if self._idle:
            raise _Stop

    def _serve_all(self) -> End:
        self._row.end()  # free from now on
        while arrival := self._next():
            self._row.begin()
            if self._table.all_busy():
                self._ring()
            self._serve(arrival)
            background.settle()
            if end := self._flaw():
                return end
            self._row.end()
        return End.ASKED

    def _next(self) -> Arrival | None:
        """Wait for a request and return it; None when no further one is to be begun."""
        while True:
            if taken := self._sources.overflow.get():
                return taken
            if self._stopping:
                return None
            try:
                connection, _ = self._sources.listener.accept()
            except BlockingIOError:
                self._sleep()
            else:
                return Arrival(connection, b"", [], taken=False)

    def _sleep(self) -> None:
        """Wait until there may be a request, or a wish to end: that is heard here alone, so that no request gets lost to it."""
        with suppress(_Stop):
            self._idle = True
            if not self._stopping:
                self._watch.poll()
        self._idle = False

    def _ring(self) -> None:
        with suppress(OSError):  # a full pipe wakes the supervisor as well
            os.write(self._sources.bell, b"\0")

    def _serve(self, arrival: Arrival) -> None:
        """Serve, decline or drop one request, and close all that came with it."""
        try:
            arrival.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, ARRIVAL)
            self._run(arrival, self._admitted(arrival))
        except DeclinedError as declined:
            protocol.decline(arrival.connection, declined.reason)
            self._row.count_declined(declined.reason)
        except OSError as broken:
            say(f"a request was dropped: {broken}")
        finally:
            arrival.close()

    def _admitted(self, arrival: Arrival) -> Wanted:
        """Return what is asked; DeclinedError when it may not be asked, or not here."""
        connection, received = arrival.connection, arrival.received
        data = arrival.data or protocol.receive(connection, received)
        head = protocol.check(data, received, self._build.number)
        if self._build.is_replaced():
            raise DeclinedError(Reason.REPLACED)
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

    def _run(self, arrival: Arrival, wanted: Wanted) -> None:
        """Pass the commit point, then serve and answer."""
        if not (arrival.taken or pass_commit_point(arrival, self._row)):
            return
        status, printed = serving.serve(wanted, self._siblings, lambda: not protocol.has_hung_up(arrival.connection))
        self._row.count_warm()
        document = serving.sealed("cni-stdout", printed)
        try:
            protocol.answer(arrival.connection, status, document)
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


def _watch(sources: Sources) -> select.epoll:
    """Return what waits for both sources; a request wakes one worker, not all of them."""
    watch = select.epoll()
    for source in (sources.overflow, sources.listener):
        watch.register(source, select.EPOLLIN | select.EPOLLEXCLUSIVE)
    return watch
