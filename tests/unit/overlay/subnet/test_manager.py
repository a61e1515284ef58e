"""Claims: commands reach the store and its answers the machine, until a lease is published; a lost race, a silent store and a denial
come back as events; the very first refusal ends the daemon, a later one withdraws; a renewal comes when its time has come,
by the clock handed in.
"""

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address

import pytest

from overlay.config import network
from overlay.errors import Refused, StoreError
from overlay.monitoring.log import Log
from overlay.stores import Snapshot, Update
from overlay.subnet import allocation
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease
from overlay.subnet.manager import Clock, LeaseManager
from overlay.subnet.state_machine import LeaseGone, LeasePolicy, LeaseState

ME = IPv4Address("192.0.2.1")
CONFIG = network.parse('{"Network": "10.9.0.0/24", "Backend": {"Type": "vxlan"}}', "x")
FIRST = allocation.parse_key("10.9.0.64-26")


@dataclass
class MemoryStore:
    """A store in a dictionary; each problem is raised once, in turn."""

    entries: dict[Subnet, Lease] = field(default_factory=dict)
    problems: list[Exception] = field(default_factory=list)
    lost: int = 0
    writes: int = 0
    exchanges: bool = True
    heard: float = 0.0

    def moved(self) -> None:
        raise AssertionError("the daemon's to say, not the tenant's")

    async def read_config(self) -> str:
        return "{}"

    async def leases(self) -> Snapshot:
        if self.problems:
            raise self.problems.pop(0)
        return Snapshot(tuple(self.entries.values()), self.writes)

    async def create(self, subnet: Subnet, attributes: Attributes) -> Lease | None:
        if self.lost:
            self.lost -= 1
            return None
        return self._write(subnet, attributes)

    async def replace(self, lease: Lease, attributes: Attributes) -> Lease | None:
        return self._write(lease.subnet, attributes) if self.entries.get(lease.subnet) == lease else None

    async def remove(self, lease: Lease) -> bool:
        return self.entries.pop(lease.subnet, None) is not None

    async def watch(self, cursor: int) -> AsyncIterator[Update]:
        yield await self.leases()

    def _write(self, subnet: Subnet, attributes: Attributes) -> Lease:
        self.writes += 1
        self.entries[subnet] = Lease(subnet, attributes, self.writes, 86_400.0)
        return self.entries[subnet]


@dataclass
class World:
    """A holder that notes what it is told; time flies by `pace` seconds with every look at the clock."""

    store: MemoryStore
    said: list[str] = field(default_factory=list)
    pace: float = 100_000.0
    time: float = 0.0
    out: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        state = LeaseState(LeasePolicy(CONFIG, ME, lambda subnet: Attributes(ME, None, "vxlan")))
        log = Log(self.out, clock=lambda: "now")
        self.tenant = LeaseManager(self.store, state, self, Clock(self.now, lambda: 0.0), log)
        self.heard = asyncio.Event()

    def now(self) -> float:
        self.time += self.pace
        return self.time

    def published(self, lease: Lease) -> None:
        self._say(f"published {lease.subnet} {lease.version}")

    def withdrawn(self, lease: Lease, reason: str) -> None:
        self._say(f"withdrawn {lease.subnet}")

    def _say(self, text: str) -> None:
        self.said.append(text)
        self.heard.set()

    async def run_until(self, number: int) -> list[str]:
        work = asyncio.create_task(self.tenant.run())
        while len(self.said) < number and not work.done():
            self.heard.clear()
            waiting = asyncio.create_task(self.heard.wait())
            await asyncio.wait((work, waiting), timeout=5, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        if work.done():
            work.result()
        work.cancel()
        return self.said[:number]


async def said(store: MemoryStore, number: int = 1) -> list[str]:
    return await World(store).run_until(number)


def test_a_lease_is_created_and_published() -> None:
    store = MemoryStore()
    assert asyncio.run(said(store)) == ["published 10.9.0.64/26 1"]
    assert list(store.entries) == [FIRST]


def test_a_lease_that_is_not_offered_is_removed_first() -> None:
    old = Lease(allocation.parse_key("10.9.0.0-27"), Attributes(ME))
    store = MemoryStore({old.subnet: old})
    assert asyncio.run(said(store)) == ["published 10.9.0.64/26 1"]
    assert old.subnet not in store.entries


def test_lost_races_and_a_silent_store_are_outlived() -> None:
    store = MemoryStore(problems=[StoreError("down"), StoreError("down")], lost=2)
    assert asyncio.run(said(store)) == ["published 10.9.0.64/26 1"]


def test_a_lease_is_renewed_by_the_clock_handed_in() -> None:
    assert asyncio.run(said(MemoryStore(), 2)) == ["published 10.9.0.64/26 1", "published 10.9.0.64/26 2"]


def test_the_very_first_refusal_ends_the_daemon() -> None:
    with pytest.raises(Refused, match="not listed"):
        asyncio.run(said(MemoryStore(problems=[Refused("not listed")])))


def test_a_later_refusal_withdraws_and_is_tried_again() -> None:
    async def script() -> list[str]:
        world = World(store := MemoryStore(), pace=0.9)
        await world.run_until(1)
        store.problems.append(Refused("taken out"))
        world.tenant.tell(LeaseGone(FIRST))
        return await world.run_until(3)

    assert asyncio.run(script())[1:] == ["withdrawn 10.9.0.64/26", "published 10.9.0.64/26 2"]
