"""Acquires and renews this host's lease: carries out what the state machine decides, and tells it the result.

One event at a time goes through overlay.subnet.state_machine, which answers with commands. A command that asks the
store produces the next event: `Create` produces `Acquired` or `RaceLost`, an error of the store `Failed`, a refusal
`Rejected`. The other commands set the timer, or call the listener, which programs the lease and writes or deletes the
lease file. Nothing else in the daemon calls the store to create, replace or remove a lease.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from overlay.errors import Refused, StoreError, Unlisted
from overlay.monitoring.log import Log
from overlay.stores import Store
from overlay.subnet import state_machine
from overlay.subnet.lease import Lease
from overlay.subnet.state_machine import Command, Event, LeaseState

MAX_SLEEP = 30.0
"""Longest sleep in seconds: the event loop's clock stops while a machine is suspended, so the real one is read so often."""


class LeaseListener(Protocol):
    """What programs the lease of this host and writes the lease file."""

    def published(self, lease: Lease) -> None:
        """Program this lease and, last, write it to the lease file."""
        ...

    def withdrawn(self, lease: Lease, reason: str) -> None:
        """Delete the lease file, at once."""
        ...


@dataclass(frozen=True, slots=True)
class Clock:
    """Time and random numbers, handed in so that tests can choose them."""

    now: Callable[[], float]
    """Returns seconds since boot, with the time in which the machine was suspended."""
    random: Callable[[], float]
    """Returns a number of at least 0 and below 1."""


class LeaseManager:
    """Acquires and renews the lease of this host; `problem` says why there is none, empty when there is one."""

    def __init__(self, store: Store, state: LeaseState, listener: LeaseListener, clock: Clock, log: Log) -> None:
        self.state = state
        self.problem = "no lease yet"
        self._store, self._listener, self._clock, self._log = store, listener, clock, log
        self._inbox: asyncio.Queue[Event] = asyncio.Queue()
        self._alarm: float | None = None
        self._settled = False

    def tell(self, event: Event) -> None:
        """Queue an event from outside, without waiting."""
        self._inbox.put_nowait(event)

    async def run(self) -> None:
        """Acquire a lease and renew it, without end; raises Refused when the very first one is refused for good."""
        await self._handle(state_machine.Started())
        while True:
            await self._handle(await self._next())

    async def _next(self) -> Event:
        while True:
            rest = MAX_SLEEP if self._alarm is None else self._alarm - self._clock.now()
            if rest <= 0:
                self._alarm = None
                await asyncio.sleep(0)  # a clock that jumps forward must not keep other tasks from running
                return state_machine.TimerFired()
            # not asyncio.wait_for: before Python 3.12 it swallows a cancellation that comes with the event
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(rest, MAX_SLEEP)):
                    return await self._inbox.get()

    async def _handle(self, event: Event) -> None:
        pending = deque([event])
        while pending:
            self.state, commands = state_machine.step(self.state, pending.popleft())
            for command in commands:
                answer = await self._ask(command)
                if answer is not None:
                    pending.append(answer)

    async def _ask(self, command: Command) -> Event | None:
        try:
            return await self._execute(command)
        except StoreError as problem:
            return state_machine.Failed(str(problem))
        except Refused as problem:
            # before the first lease a refusal is a wrong setting, which a person must mend; afterwards
            # running containers need the daemon more than anybody needs the error
            if not self._settled and not isinstance(problem, Unlisted):
                raise
            return state_machine.Rejected(str(problem))

    async def _execute(self, command: Command) -> Event | None:
        match command:
            case state_machine.ListLeases():
                return state_machine.Listed((await self._store.leases()).leases, self._clock.random())
            case state_machine.Create(subnet, attributes):
                return self._outcome(await self._store.create(subnet, attributes))
            case state_machine.Replace(lease, attributes):
                return self._outcome(await self._store.replace(lease, attributes))
            case state_machine.Remove(lease):
                self._log.info("removing a lease this network does not give out", subnet=lease.subnet)
                return (
                    state_machine.Started()
                    if await self._store.remove(lease)
                    else state_machine.RaceLost(self._clock.random())
                )
            case _:
                self._execute_here(command)
                return None

    def _execute_here(self, command: Command) -> None:
        match command:
            case state_machine.SetTimer(seconds):
                self._alarm = self._clock.now() + seconds
            case state_machine.Publish(lease):
                self.problem, self._settled = "", True
                self._log.settled("lease", "the lease is ours again", subnet=lease.subnet)
                self._listener.published(lease)
            case state_machine.Withdraw(lease, reason):
                self.problem = reason
                self._listener.withdrawn(lease, reason)
            case state_machine.ReportProblem(reason):
                self.problem = reason
                self._log.change("lease", "warning", "the lease is in doubt", reason=reason)

    def _outcome(self, lease: Lease | None) -> Event:
        return state_machine.Acquired(lease) if lease is not None else state_machine.RaceLost(self._clock.random())
