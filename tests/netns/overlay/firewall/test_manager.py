"""Claims: while the kernel tells of changes nothing is listed in between, a change is answered by one look though others' tables are
not; without that a look is made every interval; what one network wants does not take away what another does; every network
is told how a look went.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network

import pytest

from kernel import netns
from kernel.firewall.nft_monitor import NftEvents
from overlay.firewall.manager import FirewallManager, NetworkFirewall
from overlay.firewall.rules import NetworkRules
from overlay.firewall.sync import FirewallSync, SyncResult
from tests.netns.spaces import Space

FOUR = NetworkRules(ip_network("10.42.0.0/16"), ip_network("10.42.1.0/24"), masquerade=True, forward=True, native=True)
OTHER = replace(FOUR, network=ip_network("10.43.0.0/16"), subnet=ip_network("10.43.7.0/24"))
INTERVAL = 0.2


@pytest.fixture
def inside(host: Space) -> Iterator[Space]:
    with netns.inside(host.namespace):
        yield host


class Heard(list[SyncResult]):
    """The outcomes one network was told, and a way to wait for the next."""

    def __init__(self) -> None:
        super().__init__()
        self._told = asyncio.Event()

    def __call__(self, outcome: SyncResult) -> None:
        self.append(outcome)
        self._told.set()

    async def next(self, within: float = 5) -> SyncResult:
        self._told.clear()
        async with asyncio.timeout(within):
            await self._told.wait()
        return self[-1]


@asynccontextmanager
async def running(events: NftEvents | None) -> AsyncIterator[FirewallManager]:
    keeper = FirewallManager(FirewallSync(), events, INTERVAL)
    task = asyncio.create_task(keeper.run())
    yield keeper
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def settle(keeper: FirewallManager, heard: Heard) -> None:
    """Have the rules kept, and wait for the look that our own change brings."""
    await keeper.keep("a", NetworkFirewall((FOUR,), None, heard))
    await heard.next()


def test_a_change_is_answered_by_a_look(inside: Space) -> None:
    async def scene() -> tuple[str, ...]:
        heard = Heard()
        with NftEvents() as events:
            async with running(events) as keeper:
                await settle(keeper, heard)
                inside.run("nft", "flush chain ip flannel-ipv4 postrtg")
                return (await heard.next()).changed

    assert asyncio.run(scene()) == ("setting table ip flannel-ipv4",)


def test_neither_silence_nor_others_changes_are(inside: Space) -> None:
    async def scene() -> None:
        heard = Heard()
        with NftEvents() as events:
            async with running(events) as keeper:
                await settle(keeper, heard)
                await quiet(heard)
                inside.run("nft", "add", "table", "ip", "strangers")
                with pytest.raises(TimeoutError):
                    await heard.next(within=4 * INTERVAL)

    asyncio.run(scene())


async def quiet(heard: Heard) -> None:
    """Wait until the looks that our own change brought are over."""
    with contextlib.suppress(TimeoutError):
        while True:
            await heard.next(within=3 * INTERVAL)


def test_without_the_kernels_word_a_look_is_made_every_interval(inside: Space) -> None:
    async def scene() -> tuple[str, ...]:
        heard = Heard()
        async with running(None) as keeper:
            await settle(keeper, heard)
            inside.run("nft", "flush chain ip flannel-ipv4 postrtg")
            return tuple([name for _ in range(3) for name in (await heard.next()).changed])

    assert asyncio.run(scene()) == ("setting table ip flannel-ipv4",)


def test_one_network_does_not_take_away_anothers_rules(inside: Space) -> None:
    async def scene() -> tuple[int, int]:
        one, two = Heard(), Heard()
        async with running(None) as keeper:
            await keeper.keep("a", NetworkFirewall((FOUR,), None, one))
            await keeper.keep("b", NetworkFirewall((OTHER,), None, two))
            await one.next()
            return len(one), len(two)

    told = asyncio.run(scene())
    listed = inside.run("nft", "list", "table", "ip", "flannel-ipv4")
    assert (min(told) >= 1, "10.42.1.0/24" in listed, "10.43.7.0/24" in listed) == (True, True, True)
