"""Runs the workers: starts them from one warm process, replaces them, ends a stuck one, restarts on a new build.

Workers accept from the shared socket themselves. Only while all of them are busy the supervisor accepts for them
(agent.backlog), without reading the request. It must not import a module that a program imports by name.
"""

import ctypes
import os
import select
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent import catalogue, judging, processes, protocol, reloads, status
from agent.backlog import Overflow, take_ahead
from agent.build_id import Build
from agent.listening import Listener
from agent.log import Log
from agent.protocol import Reason
from agent.status import Status, WorkerStatus
from agent.worker import End, Sources, Worker
from agent.worker_table import Table
from meta.firewall import zones
from system.sd_notify import Notifier

TICK = 1.0
"""Seconds between two looks at what tells no event; also how soon a worker that died young is replaced."""

INSTALLING = 30.0
"""Seconds to wait for an executable that is being replaced."""

ROUND = 0.05
"""Seconds of taking after which everything else has its turn: strangers who connect without end do not keep the status
from being told."""

TAKING = 0.3
"""Seconds after which a signal interrupts the taking of one request.

A socket that lingers (socket(7)), left by a stranger, is waited for by whoever lets go of it last. Receiving gives up
sooner.
"""

JUDGING = 2.0
"""Seconds a worker may take to judge and receive a request: longer holds it only what was meant to."""

GIVEN_UP = 2.0
"""Seconds after which a worker that was killed, and cannot end, is replaced all the same: it waits for a file system
that does not answer."""

WATCHING = 10.0
"""Seconds until the process that listens for reloads of the firewall is started again."""

PR_SET_PDEATHSIG = 1  # linux/prctl.h

HEARD = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
"""Signals that mean something to the supervisor: blocked from its very start (build.entry) until it hears them."""

CAUSES = {End.ASKED: "asked to end", End.GROWN: "grown", End.UNCLEAN: "unclean", End.REPLACED: "replaced files"}


@dataclass(frozen=True, slots=True)
class Options:
    """The settings of the agent."""

    workers: int
    """How many workers there are."""
    path: Path
    """The path of the shared socket."""
    patience: float
    """Seconds with one request after which a worker counts as stuck, and is killed."""
    growth: int
    """Bytes a worker may grow before it is replaced."""
    stall: float
    """Seconds without a free worker after which requests are left to cold programs."""
    repair: bool = False
    """Whether to run `tulle repair` after a reload of the firewall."""


@dataclass(slots=True)
class Member:
    """One living worker, and how long its present request (told by its start) waited for programs."""

    pid: int
    """The process."""
    request: int = 0
    """When its present request began; 0 for none."""
    waited: float = 0.0
    """Seconds in which this request has waited for programs it started."""
    killed: float | None = None
    """When it was killed; None if it was not."""


class Supervisor:
    """Runs the workers until a signal comes; `status_socket` answers with the status.

    `command` and `environ` are what it starts itself with again, after its files were replaced.
    """

    def __init__(
        self,
        options: Options,
        build: Build,
        listener: Listener,
        status_socket: socket.socket,
        *,
        command: list[str],
        environ: Mapping[str, str],
    ) -> None:
        self._options = options
        self._build = build
        self._listener = listener
        self._listener.socket.setblocking(False)
        self._overflow = Overflow()
        self._in_process = catalogue.in_process(build.folder)
        self._command = command
        self._environ = environ
        self._notifier = Notifier(environ)
        self._table = Table(options.workers)
        self._log = Log(self._table.supervisor, "tulle agent")
        self._here = judging.own()
        self._members: dict[int, Member] = {}
        self._births: dict[int, float] = {}
        self._restarts: Counter[str] = Counter()
        self._began = self._looked = time.monotonic()
        self._leaving = False
        self._again = False
        self._watcher, self._watching = 0, 0.0
        self._status_socket = status_socket
        self._wakeup = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def run(self) -> int:
        """Serve until asked to end; return the exit code. Does not return when the files were replaced."""
        self._hear_signals()
        self._fill()
        self._watch_reloads()
        self._notifier.ready()
        self._log.say(
            f"{self._options.workers} workers on {self._listener.path}, build {self._build.number.hex()[:12]}"
        )
        while not self._leaving or self._members or not self._overflow.is_empty():
            self._wait()
            self._reap()
            self._watch()
            self._send_on_the_late()
            if self._leaving:
                self._tell_workers()
                self._finish_what_was_taken()
            else:
                self._look_at_files()
                self._fill()
                self._watch_reloads()
        self._close()
        return 0

    def _hear_signals(self) -> None:
        signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGALRM):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._leave())
        signal.signal(signal.SIGINT, lambda *_: self._leave())
        signal.signal(signal.SIGHUP, lambda *_: self._leave(again=True))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)

    def _leave(self, *, again: bool = False) -> None:
        """Begin no further request; a wish to end outweighs one to start anew."""
        self._again = again and (self._again or not self._leaving)
        self._leaving = True

    def _wait(self) -> None:
        """Sleep until a signal, a question for the status, a request no worker is free for, or the next look.

        See to it.
        """
        watch = select.poll()
        watch.register(self._wakeup[0], select.POLLIN)
        watch.register(self._status_socket, select.POLLIN)
        if self._is_crowded():
            watch.register(self._listener.socket, select.POLLIN)
        patience = TICK if self._overflow.is_empty() else min(TICK, self._options.stall / 2)
        ready = [descriptor for descriptor, _ in watch.poll(patience * 1000)]
        if self._wakeup[0] in ready:
            os.read(self._wakeup[0], 4096)
        if self._status_socket.fileno() in ready:
            self._tell_status()
        if self._listener.socket.fileno() in ready:
            self._take_ahead()
        if self._notifier.heartbeat:
            self._notifier.alive()

    def _is_crowded(self) -> bool:
        """Return whether requests that come now are to be taken here: no worker is free, and some get free all the time."""
        ready = bool(self._members) and not self._leaving
        return ready and self._table.all_busy() and not self._is_stalled() and self._overflow.has_room()

    def _is_stalled(self) -> bool:
        """Return whether no worker has got free for a while: they all wait for something, and who is taken would wait too."""
        begun = [row.busy_since for row in self._table.rows]
        return all(begun) and time.monotonic_ns() - max(begun) > self._options.stall * 1e9

    def _take_ahead(self) -> None:
        until = time.monotonic() + ROUND
        while self._is_crowded() and time.monotonic() < until:
            try:
                connection, _ = self._listener.socket.accept()
                signal.setitimer(signal.ITIMER_REAL, TAKING)
                take_ahead(connection, self._build.number, self._here, self._table.supervisor, self._overflow)
            except BlockingIOError:
                return
            except OSError as broken:
                self._log.say(f"a request was dropped: {broken}")
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)

    def _send_on_the_late(self) -> None:
        """Send the launchers on to the cold program that no worker got free for; nothing of theirs was begun."""
        stalled = self._is_stalled()
        while (stalled or self._overflow.is_late()) and (arrival := self._overflow.get()):
            protocol.decline(arrival.connection, Reason.CROWDED)
            self._table.supervisor.count_declined(Reason.CROWDED)
            arrival.close()

    def _finish_what_was_taken(self) -> None:
        if not self._members and not self._overflow.is_empty():
            self._start(0)

    def _reap(self) -> None:
        while self._members or self._watcher:
            pid, code = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            if pid == self._watcher:
                self._watcher = 0
            for row in [row for row, member in self._members.items() if member.pid == pid]:
                self._bury(row, os.waitstatus_to_exitcode(code))

    def _bury(self, row: int, code: int) -> None:
        member = self._members.pop(row)
        self._table.rows[row].vacate()
        cause = "stuck" if member.killed is not None else CAUSES.get(End(code), "died") if code in set(End) else "died"
        if not (self._leaving and code == End.ASKED):
            self._restarts[cause] += 1
            self._log.say(f"worker {member.pid} has ended: {cause} ({code})")

    def _fill(self) -> None:
        """Start a worker for every row without one; one that died young waits for the next look."""
        for row in range(self._options.workers):
            if row not in self._members and time.monotonic() >= self._births.get(row, 0.0) + TICK:
                self._start(row)

    def _start(self, row: int) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as refused:
            self._log.say(f"cannot start a worker: {refused.strerror}; the next look tries again")
            return
        if pid == 0:
            self._become_worker(row, parent)
        self._members[row] = Member(pid)
        self._births[row] = time.monotonic()

    def _watch_reloads(self) -> None:
        """Have a process that hears of reloads of the firewall; one that ended is followed by another after a while."""
        now = time.monotonic()
        if not self._options.repair or self._watcher or now < self._watching:
            return
        self._watching, parent = now + WATCHING, os.getpid()
        try:
            self._watcher = os.fork()
        except OSError as refused:
            self._log.say(f"cannot listen for reloads of the firewall: {refused.strerror}; a later look tries again")
            return
        if self._watcher == 0:
            self._become_watcher(parent)

    def _become_watcher(self, parent: int) -> None:
        """Turn this process, a copy of the supervisor, into the one that listens for reloads.

        It ends with the supervisor.
        """
        try:
            self._be_born(parent)
            self._listener.socket.close()
            reloads.watch(reloads.command(), zones.bus_of(self._environ), self._log.say)
        except BaseException as defect:  # noqa: BLE001 - a copy of the supervisor must not go on as one
            self._log.say(f"nobody listens for reloads of the firewall for {WATCHING:.0f} s: {defect!r}")
        finally:
            os._exit(1)

    def _be_born(self, parent: int) -> None:
        """Let go of what is the supervisor's, and end when it does."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(End.ASKED)
        for descriptor in (self._wakeup[0], self._status_socket.fileno()):
            os.close(descriptor)
        self._overflow.close_entry()

    def _become_worker(self, row: int, parent: int) -> None:
        """Turn this process, a copy of the supervisor, into a worker.

        It ends with the supervisor, what is in hand finished.
        """
        self._be_born(parent)
        sources = Sources(self._listener.socket, self._overflow, self._wakeup[1])
        Worker(sources, self._table, row, self._build, self._in_process, growth=self._options.growth).run()

    def _watch(self) -> None:
        """End workers whose request takes too long, the time they waited for other programs taken off."""
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        slow = [row for row in self._members if self._busy(row, now) > TICK]
        waiting = processes.children([self._members[row].pid for row in slow]) if slow else ()
        for row in slow:
            member, cells = self._members[row], self._table.rows[row]
            if member.request != cells.busy_since:
                member.request, member.waited = cells.busy_since, 0.0
            if member.pid in waiting:
                member.waited += passed
            patience = self._options.patience if cells.is_taken else min(JUDGING, self._options.patience)
            if member.killed is not None:
                self._give_up(row, now - member.killed)
            elif self._busy(row, now) - member.waited > patience:
                member.killed = now
                self._log.say(f"worker {member.pid} has been stuck for {patience:.0f} s")
                os.kill(member.pid, signal.SIGKILL)

    def _give_up(self, row: int, passed: float) -> None:
        """Replace a killed worker that the kernel does not let go of; it ends when it can."""
        if passed > GIVEN_UP:
            self._log.say(f"worker {self._members[row].pid} cannot end: another takes its place")
            self._bury(row, -signal.SIGKILL)

    def _busy(self, row: int, now: float) -> float:
        since = self._table.rows[row].busy_since
        return now - since / 1e9 if since else 0.0

    def _look_at_files(self) -> None:
        if self._build.is_replaced():
            self._log.say("the files were replaced: finishing what is in hand, then starting anew")
            self._leave(again=True)

    def _tell_workers(self) -> None:
        """Ask the workers to end, at every look: one that was just being born may have missed it."""
        for member in self._members.values():
            os.kill(member.pid, signal.SIGTERM)

    def _tell_status(self) -> None:
        try:
            connection, _ = self._status_socket.accept()
            with connection:
                connection.send(self._status().encode(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError as gone:
            self._log.say(f"nobody to tell the status to: {gone}")

    def _status(self) -> Status:
        now, totals = time.monotonic(), self._table.totals()
        workers = [
            WorkerStatus(
                member.pid,
                round(self._busy(row, now), 3) if self._table.rows[row].busy_since else None,
                processes.memory(member.pid),
            )
            for row, member in sorted(self._members.items())
        ]
        return Status(
            build=self._build.number.hex(),
            uptime_seconds=round(now - self._began, 1),
            warm=totals.warm,
            cold=totals.cold,
            withdrawn=totals.withdrawn,
            declined=totals.declined,
            restarts=dict(self._restarts),
            late_modules=totals.late_modules,
            lost_lines=totals.lost_lines,
            memory_kib=processes.memory(os.getpid()) + sum(each.memory_kib for each in workers),
            workers=workers,
        )

    def _close(self) -> None:
        """Let go of everything, or of the process itself: a successor listens on the same socket and misses nobody."""
        if self._watcher:
            os.kill(self._watcher, signal.SIGKILL)  # also one that is stopped; nobody waits for it
        self._status_socket.close()
        self._overflow.close()
        status.place(self._options.path).unlink(missing_ok=True)
        if self._again:
            environ = {**self._environ, **self._listener.handed_on()}
            signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)  # what comes now waits until the successor hears it
            self._become_successor(environ)
        self._notifier.stopping()
        self._listener.close()

    def _become_successor(self, environ: Mapping[str, str]) -> None:
        """Execute ourselves anew; in the middle of an installation there is nothing to execute for a moment.

        OSError when that lasts.
        """
        deadline = time.monotonic() + INSTALLING
        while True:
            try:
                os.execve(sys.executable, self._command, environ)  # noqa: S606 - ourselves
            except OSError as absent:
                if time.monotonic() > deadline:
                    raise
                self._log.say(f"cannot start anew: {absent}; trying again")
            if self._notifier.heartbeat:
                self._notifier.alive()
            time.sleep(TICK)  # noqa: TID251 - no event tells that an executable is whole
