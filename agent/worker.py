"""One warm process: serves requests one at a time, until it is told to stop or a request has left something in it.

It ends by os._exit only, with a code that tells the supervisor why.
"""

import gc
import os
import select
import signal
import socket
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from fcntl import F_GET_SEALS, fcntl
from typing import NoReturn

from agent import admission, judging, protocol, serving
from agent.backlog import ARRIVAL, Arrival, Overflow, pass_commit_point
from agent.build_id import Build
from agent.catalogue import PROGRAMS
from agent.judging import judged
from agent.log import Log
from agent.pristine import PristineState
from agent.protocol import INLINE_BYTES, DeclinedError, Message, Reason
from agent.serving import Wanted
from agent.worker_table import Table
from cni.in_process import InProcessPrograms
from cni.program import Program
from kernel import deferred
from kernel.netlink import nf_tables
from kernel.netns import Namespace

FILE_BYTES = 16 << 20
"""More than execve(2) lets any environment have, and than a program reads of a configuration (cni.dispatch)."""

UNSETTLED = 3
"""Links that the kernel may still be taking down, 15 to 40 ms each, while the next request is served."""

LOOK_EVERY = 32
"""Requests between two looks at the memory, and between two searches for garbage.

None of them has to wait for those.
"""

RUBBISH = 100_000
"""Objects more than there were after which garbage is searched for all the same (gc.set_threshold): no usual request
makes as many."""


SOURCES = 2
"""Where requests come from, see `Sources`."""


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
    """Where requests come from: the shared socket, and what was taken already.

    A byte in `bell` tells the supervisor that all are busy.
    """

    listener: socket.socket
    """The shared socket."""
    overflow: Overflow
    """Requests that the supervisor accepted."""
    bell: int
    """A descriptor; a byte written to it tells the supervisor that all workers are busy."""


class Worker:
    """Serves until there is a reason not to."""

    def __init__(
        self, sources: Sources, table: Table, row: int, build: Build, in_process: InProcessPrograms, *, growth: int
    ) -> None:
        self._sources = sources
        self._table = table
        self._row = table.rows[row]
        self._build = build
        self._in_process = in_process
        self._watch = _watch(sources)
        self._place = judging.own()
        self._process = f"/proc/{os.getpid()}"
        nf_tables.keep()
        self._log = Log(self._row, f"tulle agent: worker {os.getpid()}")
        self._pristine = PristineState()
        self._limit = resident() + growth
        self._idle = False
        self._stopping = False
        self._replaced = False

    def run(self) -> NoReturn:
        """Serve requests; end the process."""
        gc.set_threshold(RUBBISH)
        try:
            signal.signal(signal.SIGTERM, self._asked)
            end = self._serve_all()
            deferred.drain()
        except BaseException:  # noqa: BLE001 - whatever happens, this process never runs the supervisor's code
            self._log.say(traceback.format_exc())
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
            deferred.drain(leave=UNSETTLED)
            if end := self._flaw():
                return end
            self._row.end()
        return End.ASKED

    def _next(self) -> Arrival | None:
        """Wait for a request and return it, one that was taken ahead first; None when no further one is to be begun."""
        overflow, listener = self._sources.overflow, self._sources.listener
        usual = [(listener.fileno(), select.EPOLLIN)]
        while True:
            ready, stopping = self._ready(), self._stopping
            if (stopping or ready != usual) and (taken := overflow.get()):
                return taken
            if stopping:
                return None
            try:
                return Arrival(listener.accept()[0])
            except BlockingIOError:
                continue  # another worker was faster

    def _ready(self) -> list[tuple[int, int]]:
        """Wait until there may be a request, and tell where.

        A wish to end is heard here alone, so that no request gets lost to it.
        """
        ready: list[tuple[int, int]] = []
        try:
            self._idle = True
            if not self._stopping:
                ready = self._watch.poll(-1, SOURCES)
        except _Stop:
            pass
        self._idle = False
        return ready

    def _ring(self) -> None:
        with suppress(OSError):  # a full pipe wakes the supervisor as well
            os.write(self._sources.bell, b"\0")

    def _serve(self, arrival: Arrival) -> None:
        """Serve, decline or drop one request, and close all that came with it."""
        try:
            self._run(arrival, self._admitted(arrival))
        except DeclinedError as declined:
            protocol.decline(arrival.connection, declined.reason)
            self._row.count_declined(declined.reason)
        except OSError as broken:
            self._log.say(f"a request was dropped: {broken}")
        finally:
            arrival.close()

    def _admitted(self, arrival: Arrival) -> Wanted:
        """Return what is asked; DeclinedError when it may not be asked, or not here.

        Who asks is judged before anything is received.
        """
        connection, received = arrival.connection, arrival.received
        caller = arrival.caller = arrival.caller or judged(connection, self._place)
        if not arrival.data:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, ARRIVAL)
            arrival.data = protocol.receive(connection, received)
        message = protocol.check(arrival.data, received, self._build.number)
        self._replaced = self._build.is_replaced()
        if self._replaced:
            raise DeclinedError(Reason.REPLACED)
        try:
            arrival.opened.append(cwd := caller.open_directory())
            entered = None
            if caller.net() != self._pristine.namespace:
                arrival.opened.append(net := caller.open_net())
                entered = Namespace(net, "of the caller")
        except OSError as ended:
            raise DeclinedError(Reason.GONE) from ended
        caller.check()
        stdin, block = map(content, arrival.files) if arrival.files else (message.stdin, message.environ)
        environ = variables(block)
        self._check_netns(environ.get("CNI_NETNS", ""))
        return Wanted(_program(message), environ, stdin, entered, cwd, self._teller(connection), message.umask)

    def _teller(self, connection: socket.socket) -> Callable[[bytes], None]:
        """Return what sends a request's stderr to its launcher.

        What that has no room for is counted, and nobody waits for it.
        """

        def tell(lines: bytes) -> None:
            try:
                protocol.tell(connection, lines)
            except OSError:
                self._row.count_lost()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, ARRIVAL)  # the answer has no room either

        return tell

    def _check_netns(self, path: str) -> None:
        if reason := admission.misplaced(path, without_links(path) if path else "", self._process):
            raise DeclinedError(reason)

    def _run(self, arrival: Arrival, wanted: Wanted) -> None:
        """Pass the commit point, then serve and answer."""
        if arrival.taken:
            self._row.take()
        elif not pass_commit_point(arrival, self._row):
            return

        def answer(status: int, document: bytes) -> None:
            self._row.count_warm()
            if len(document) <= INLINE_BYTES:
                protocol.answer(arrival.connection, status, document)
            else:
                answer_by_file(arrival.connection, status, document)

        serving.serve(wanted, self._in_process, lambda: not protocol.has_hung_up(arrival.connection), answer)

    def _flaw(self) -> End | None:
        """Return why this worker should serve no further request."""
        if late := self._pristine.late_modules():
            self._row.count_late(len(late))
            self._log.say(f"modules were loaded by a request: {' '.join(late)}")
        if differences := list(self._pristine.differences()):
            self._log.say(f"a request left something behind: {'; '.join(differences)}")
            return End.UNCLEAN
        if self._row.warm % LOOK_EVERY == 0:
            gc.collect()
            if resident() > self._limit:
                self._log.say(f"has grown to {resident() >> 20} MiB")
                return End.GROWN
        return End.REPLACED if self._replaced else None


def answer_by_file(connection: socket.socket, status: int, document: bytes) -> None:
    """Answer with what no datagram takes."""
    file = serving.sealed("cni-stdout", document)
    try:
        protocol.answer_by_file(connection, status, file)
    finally:
        os.close(file)


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


def without_links(path: str) -> str:
    """Return where `path` leads in this process: in the kernel's words, or, where those name no path, piece by piece."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (OSError, ValueError):
        return _piece_by_piece(path)
    try:
        found = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - at every request
    finally:
        os.close(descriptor)
    return found if found.startswith("/") else _piece_by_piece(path)


def _piece_by_piece(path: str) -> str:
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):
        return path


def variables(block: bytes) -> dict[str, str]:
    """Return the environment that NUL-terminated strings make, as the interpreter would have read it: the first of a name counts."""
    found: dict[str, str] = {}
    for entry in block.split(b"\0"):
        name, equals, value = entry.partition(b"=")
        if equals:
            found.setdefault(os.fsdecode(name), os.fsdecode(value))
    return found


def _program(message: Message) -> Program:
    if message.program not in PROGRAMS:
        raise DeclinedError(Reason.PROGRAM)
    return PROGRAMS[message.program]


def _watch(sources: Sources) -> select.epoll:
    """Return what waits for both sources; a request wakes one worker, not all of them."""
    watch = select.epoll()
    for source in (sources.overflow, sources.listener):
        watch.register(source, select.EPOLLIN | select.EPOLLEXCLUSIVE)
    return watch
