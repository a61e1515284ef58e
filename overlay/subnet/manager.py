"""Carries the tenancy's commands out against a store, and tells it what became of them.

The only one who calls the store to take, renew or give up a lease.
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
"""Seconds between two looks at the clock: the event loop's own stands still while a machine is suspended."""


class LeaseListener(Protocol):
    """Who acts on what the host holds."""

    def published(self, lease: Lease) -> None:
        """Program this lease and, last, write it to the lease file."""
        ...

    def withdrawn(self, lease: Lease, reason: str) -> None:
        """Take the lease file away, at once."""
        ...


@dataclass(frozen=True, slots=True)
class Clock:
    """What a machine cannot know by itself: seconds since boot, suspension included, and numbers in [0, 1)."""

    now: Callable[[], float]
    dice: Callable[[], float]


class LeaseManager:
    """This host's side of the store."""

    def __init__(self, store: Store, state: LeaseState, holder: LeaseListener, chance: Clock, log: Log) -> None:
        self.state = state
        self.problem = "no lease yet"
        self._store, self._holder, self._chance, self._log = store, holder, chance, log
        self._inbox: asyncio.Queue[Event] = asyncio.Queue()
        self._alarm: float | None = None
        self._settled = False

    def tell(self, event: Event) -> None:
        """Hand in an event from outside, without waiting."""
        self._inbox.put_nowait(event)

    async def run(self) -> None:
        """Acquire and keep a lease for ever; raises Refused when the very first one is refused for good."""
        await self._handle(state_machine.Started())
        while True:
            await self._handle(await self._next())

    async def _next(self) -> Event:
        while True:
            rest = MAX_SLEEP if self._alarm is None else self._alarm - self._chance.now()
            if rest <= 0:
                self._alarm = None
                await asyncio.sleep(0)  # whatever the clock does, others have their turn
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
            return await self._obey(command)
        except StoreError as problem:
            return state_machine.Failed(str(problem))
        except Refused as problem:
            if not self._settled and not isinstance(problem, Unlisted):
                raise
            return state_machine.Rejected(str(problem))

    async def _obey(self, command: Command) -> Event | None:
        match command:
            case state_machine.ListLeases():
                return state_machine.Listed((await self._store.leases()).leases, self._chance.dice())
            case state_machine.Create(subnet, attributes):
                return self._outcome(await self._store.create(subnet, attributes))
            case state_machine.Replace(lease, attributes):
                return self._outcome(await self._store.replace(lease, attributes))
            case state_machine.Remove(lease):
                self._log.info("removing a lease this network does not give out", subnet=lease.subnet)
                return (
                    state_machine.Started()
                    if await self._store.remove(lease)
                    else state_machine.RaceLost(self._chance.dice())
                )
            case _:
                self._act(command)
                return None

    def _act(self, command: Command) -> None:
        match command:
            case state_machine.SetTimer(seconds):
                self._alarm = self._chance.now() + seconds
            case state_machine.Publish(lease):
                self.problem, self._settled = "", True
                self._log.settled("lease", "the lease is ours again", subnet=lease.subnet)
                self._holder.published(lease)
            case state_machine.Withdraw(lease, reason):
                self.problem = reason
                self._holder.withdrawn(lease, reason)
            case state_machine.ReportProblem(reason):
                self.problem = reason
                self._log.change("lease", "warning", "the lease is in doubt", reason=reason)

    def _outcome(self, lease: Lease | None) -> Event:
        return state_machine.Acquired(lease) if lease is not None else state_machine.RaceLost(self._chance.dice())
