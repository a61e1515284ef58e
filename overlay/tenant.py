"""Carries the tenancy's commands out against a store, and tells it what became of them.

The only one who calls the store to take, renew or give up a lease. Must not decide: overlay.tenancy does.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from overlay import tenancy
from overlay.errors import Refused, StoreError, Unlisted
from overlay.leases import Lease
from overlay.logs import Log
from overlay.stores import Store
from overlay.tenancy import Command, Event, Tenancy

LONGEST_NAP = 30.0
"""Seconds between two looks at the clock: the event loop's own stands still while a machine is suspended."""


class Holder(Protocol):
    """Who acts on what the host holds."""

    def published(self, lease: Lease) -> None:
        """Program this lease and, last, write it to the lease file."""
        ...

    def withdrawn(self, lease: Lease, reason: str) -> None:
        """Take the lease file away, at once."""
        ...


@dataclass(frozen=True, slots=True)
class Chance:
    """What a machine cannot know by itself: seconds since boot, suspension included, and numbers in [0, 1)."""

    now: Callable[[], float]
    dice: Callable[[], float]


class Tenant:
    """This host's side of the store."""

    def __init__(self, store: Store, state: Tenancy, holder: Holder, chance: Chance, log: Log) -> None:
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
        await self._handle(tenancy.Started())
        while True:
            await self._handle(await self._next())

    async def _next(self) -> Event:
        while True:
            rest = LONGEST_NAP if self._alarm is None else self._alarm - self._chance.now()
            if rest <= 0:
                self._alarm = None
                await asyncio.sleep(0)  # whatever the clock does, others have their turn
                return tenancy.Woke()
            # not asyncio.wait_for: before Python 3.12 it swallows a cancellation that comes with the event
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(rest, LONGEST_NAP)):
                    return await self._inbox.get()

    async def _handle(self, event: Event) -> None:
        pending = deque([event])
        while pending:
            self.state, commands = tenancy.step(self.state, pending.popleft())
            for command in commands:
                answer = await self._ask(command)
                if answer is not None:
                    pending.append(answer)

    async def _ask(self, command: Command) -> Event | None:
        try:
            return await self._obey(command)
        except StoreError as problem:
            return tenancy.Failed(str(problem))
        except Refused as problem:
            if not self._settled and not isinstance(problem, Unlisted):
                raise
            return tenancy.Denied(str(problem))

    async def _obey(self, command: Command) -> Event | None:
        match command:
            case tenancy.ListLeases():
                return tenancy.Listed((await self._store.leases()).leases, self._chance.dice())
            case tenancy.Create(subnet, attributes):
                return self._outcome(await self._store.create(subnet, attributes))
            case tenancy.Replace(lease, attributes):
                return self._outcome(await self._store.replace(lease, attributes))
            case tenancy.Remove(lease):
                self._log.info("removing a lease this network does not give out", subnet=lease.subnet)
                return tenancy.Started() if await self._store.remove(lease) else tenancy.Lost(self._chance.dice())
            case _:
                self._act(command)
                return None

    def _act(self, command: Command) -> None:
        match command:
            case tenancy.Sleep(seconds):
                self._alarm = self._chance.now() + seconds
            case tenancy.Publish(lease):
                self.problem, self._settled = "", True
                self._log.settled("lease", "the lease is ours again", subnet=lease.subnet)
                self._holder.published(lease)
            case tenancy.Withdraw(lease, reason):
                self.problem = reason
                self._holder.withdrawn(lease, reason)
            case tenancy.Complain(reason):
                self.problem = reason
                self._log.change("lease", "warning", "the lease is in doubt", reason=reason)

    def _outcome(self, lease: Lease | None) -> Event:
        return tenancy.Claimed(lease) if lease is not None else tenancy.Lost(self._chance.dice())
