"""The host's one firewall for all networks of this daemon: who wants what, and when it is looked at again.

Told of changes by the kernel (kernel.nft_events) it looks then, and else only seldom; where the kernel does not tell, as of
iptables' own tables, it looks every `--iptables-resync` seconds. One look at a time, in a thread because it starts programs.
Must not know what the rules are.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from kernel.nft_events import ANY, NftEvents
from overlay.enforcing import Enforcer, Outcome
from overlay.firewall import Rules
from overlay.guard import Wish

SELDOM = 12
"""How many times the interval may pass without a look while the kernel tells of changes."""
OURS = ("flannel-ipv", "tulle-guard-", "filter", "nat")
"""How the tables begin that can matter: flannel's, our guards, and iptables' in nftables' form."""

Report = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class Ward:
    """What one network wants, and who is told how a look at it went."""

    rules: tuple[Rules, ...]
    wish: Wish | None
    report: Report


class Keeper:
    """Keeps the rules of every network; `events` None when the kernel tells of no changes, `interval` in seconds."""

    def __init__(self, enforcer: Enforcer, events: NftEvents | None, interval: float) -> None:
        self._enforcer, self._events, self._interval = enforcer, events, interval
        self._wards: dict[str, Ward] = {}
        self._well: set[str] = set()
        self._lock = asyncio.Lock()
        self._heard = asyncio.Event()

    def expect(self, network: str, rules: tuple[Rules, ...]) -> None:
        """Let a network's rules of an earlier start stay until it says what it wants now."""
        self._wards.setdefault(network, Ward(rules, None, lambda _: None))

    async def keep(self, network: str, ward: Ward) -> None:
        """Bring the firewall in line with what a network wants from now on, and report; of the guard only what differs."""
        async with self._lock:
            before = self._wards.get(network)
            self._wards[network] = ward
            if before is not None and before.rules == ward.rules and network in self._well:
                outcome = await asyncio.to_thread(self._enforcer.follow, before.wish, ward.wish)
            else:
                gone = _families(before.rules if before else ()) - _families(self._rules())
                outcome = await asyncio.to_thread(self._enforcer.enforce, self._rules(), ward.wish, gone)
            self._report(network, ward, outcome)

    async def run(self) -> None:
        """Look again for ever: after a change that was heard, but no oftener than the interval, and else seldom."""
        loop = asyncio.get_running_loop()
        if self._events is not None:
            loop.add_reader(self._events.fileno(), self._hear)
        try:
            while True:
                await asyncio.sleep(self._interval)
                await self._wait()
                self._heard.clear()
                await self._look()
        finally:
            if self._events is not None:
                loop.remove_reader(self._events.fileno())

    async def _wait(self) -> None:
        """Wait for a change to be heard of, not long; not at all where the kernel does not tell of all changes."""
        for _ in range(SELDOM - 1):
            if self._heard.is_set() or self._events is None or not self._enforcer.overhears:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._heard.wait()

    def _hear(self) -> None:
        if self._events is not None and any(name.startswith(OURS) or name == ANY for name in self._events.read()):
            self._heard.set()

    async def _look(self) -> None:
        """Compare everything once: the rules of all networks together, then each network's guard."""
        async with self._lock:
            if not self._wards:
                return
            shared = await asyncio.to_thread(self._enforcer.enforce, self._rules())
            for network, ward in self._wards.items():
                own = await asyncio.to_thread(self._enforcer.enforce, (), ward.wish)
                outcome = replace(shared, changed=shared.changed + own.changed, unguarded=own.unguarded)
                self._report(network, ward, outcome)
                shared = replace(shared, changed=())  # said once

    def _rules(self) -> tuple[Rules, ...]:
        return tuple(rules for ward in self._wards.values() for rules in ward.rules)

    def _report(self, network: str, ward: Ward, outcome: Outcome) -> None:
        """Tell how it went; after a failure the next wish is compared with everything there is."""
        if outcome.problem or outcome.unguarded:
            self._well.discard(network)
        else:
            self._well.add(network)
        ward.report(outcome)


def _families(rules: tuple[Rules, ...]) -> frozenset[int]:
    return frozenset(one.network.version for one in rules)
