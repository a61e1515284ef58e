"""The host's one firewall for all networks of this daemon: who wants what, and when it is looked at again.

Told of changes by the kernel (kernel.firewall.nft_monitor) it looks then, and else only seldom; where the kernel does
not tell, as of iptables' own tables, it looks every `--iptables-resync` seconds. What keeps networks apart is looked at
at once: until it is back they reach each other. One look at a time, in a thread because it starts programs.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from kernel.firewall.nft_monitor import ANY, NftEvents
from overlay.backends import IPNetwork
from overlay.errors import Unavailable
from overlay.firewall import isolation
from overlay.firewall.contention import Contention
from overlay.firewall.isolation_sync import Isolation
from overlay.firewall.known_networks import Kept
from overlay.firewall.rules import NetworkRules
from overlay.firewall.sync import FirewallSync, SyncResult
from overlay.firewall.tunnel_filter import TunnelFilter

IDLE_FACTOR = 12
"""How many times the interval may pass without a look while the kernel tells of changes."""
WATCHED_TABLES = ("flannel-ipv", "tulle-guard-", "filter", "nat", "mangle")
"""How the tables begin that can matter: flannel's, our guards, and iptables' in nftables' form."""

AT_ONCE = 0.02
"""Seconds between two looks at what keeps networks apart, while it is changed, unless that is a loop."""
LOOPED = 1.0
"""The same in a loop: seldom enough for the processor, and no longer open than need be."""

Report = Callable[[SyncResult], None]


@dataclass(frozen=True, slots=True)
class NetworkFirewall:
    """What one network wants, and who is told how a look at it went; with a lease file it is kept apart from all others."""

    rules: tuple[NetworkRules, ...]
    wish: TunnelFilter | None
    report: Report
    lease_file: str = ""


class FirewallManager:
    """Keeps the rules of every network; `events` None when the kernel tells of no changes, `interval` in seconds.

    `apart` keeps networks apart from one another, and from those of other daemons on this host.
    """

    def __init__(
        self, enforcer: FirewallSync, events: NftEvents | None, interval: float, apart: Isolation | None = None
    ) -> None:
        self._enforcer, self._events, self._interval, self._apart = enforcer, events, interval, apart
        self._wards: dict[str, NetworkFirewall] = {}
        self._well: set[str] = set()
        self._told: dict[str, SyncResult] = {}
        self._entered: list[Kept] = []
        self._contention = Contention()
        self._exposed = self._contested = ""
        self._lock = asyncio.Lock()
        self._heard, self._struck = asyncio.Event(), asyncio.Event()

    def expect(self, network: str, rules: tuple[NetworkRules, ...], lease_file: str = "") -> None:
        """Let a network's rules of an earlier start stay until it says what it wants now."""
        self._wards.setdefault(network, NetworkFirewall(rules, None, lambda _: None, lease_file))

    async def keep(self, network: str, ward: NetworkFirewall) -> None:
        """Bring the firewall in line with what a network wants from now on, and report; of the guard only what differs."""
        async with self._lock:
            before = self._wards.get(network)
            self._wards[network] = ward
            # before anything else: it has to stand when a device comes up
            changed = await self._separate() if self._exposed or self._kept() != self._entered else ()
            if before is not None and before.rules == ward.rules and network in self._well:
                outcome = await asyncio.to_thread(self._enforcer.follow, before.wish, ward.wish)
            else:
                gone = _networks(before.rules if before else ()) - _networks(self._rules())
                outcome = await asyncio.to_thread(self._enforcer.enforce, self._rules(), ward.wish, gone)
            self._report(network, ward, replace(outcome, changed=(*changed, *outcome.changed)))

    async def run(self) -> None:
        """Look again for ever: after a change that was heard, but no oftener than the interval, and else seldom."""
        loop = asyncio.get_running_loop()
        if self._events is not None:
            loop.add_reader(self._events.fileno(), self._hear)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hold_apart())
                group.create_task(self._look_again())
        finally:
            if self._events is not None:
                loop.remove_reader(self._events.fileno())

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self._wait()
            self._heard.clear()
            await self._look()

    async def _wait(self) -> None:
        """Wait for a change to be heard of, not long; not at all where the kernel does not tell of all changes."""
        for _ in range(IDLE_FACTOR - 1):
            if self._heard.is_set() or self._events is None or not self._enforcer.overhears:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._heard.wait()

    def _hear(self) -> None:
        names = self._events.read() if self._events is not None else frozenset()
        if any(name.startswith(WATCHED_TABLES) or name == ANY for name in names):
            self._heard.set()
        if any(name.startswith(isolation.TABLE) or name == ANY for name in names):
            self._struck.set()

    async def _hold_apart(self) -> None:
        """Look at what keeps networks apart as soon as it was changed, and every LOOPED seconds while somebody goes on changing it."""
        while True:
            await self._struck.wait()
            self._struck.clear()
            async with self._lock:
                changed = await self._separate()
                self._note(changed)
                for network, ward in self._wards.items() if changed or self._exposed else ():
                    self._report(network, ward, replace(self._told.get(network, SyncResult((), "")), changed=changed))
                    changed = ()  # said once
            # our own change is heard, too: that look finds nothing to do
            await asyncio.sleep(min(self._interval, LOOPED) if self._contested else AT_ONCE)

    async def _separate(self) -> tuple[str, ...]:
        """Have all networks kept apart, and return what was changed; what could not be is told to every network."""
        own = self._kept()
        if self._apart is None:
            return ()
        try:
            changed = await asyncio.to_thread(self._apart.keep, own)
        except Unavailable as problem:
            self._exposed = str(problem)
            return ()
        self._exposed, self._entered = "", own
        return changed

    def _kept(self) -> list[Kept]:
        """Return the networks with a lease file whose ranges are known, of an earlier start or of this one."""
        return [
            Kept(name, ward.lease_file, tuple(one.network for one in ward.rules))
            for name, ward in self._wards.items()
            if ward.rules and ward.lease_file
        ]

    async def _look(self) -> None:
        """Compare everything once: the rules of all networks together, then each network's guard."""
        async with self._lock:
            if not self._wards:
                return
            changed = await self._separate()
            shared = await asyncio.to_thread(self._enforcer.enforce, self._rules())
            shared = replace(shared, changed=(*changed, *shared.changed))
            guards = {
                network: await asyncio.to_thread(self._enforcer.enforce, (), ward.wish)
                for network, ward in self._wards.items()
            }
            self._note((*shared.changed, *(what for own in guards.values() for what in own.changed)))
            for network, ward in self._wards.items():
                own = guards[network]
                outcome = replace(shared, changed=shared.changed + own.changed, unguarded=own.unguarded)
                self._report(network, ward, outcome)
                shared = replace(shared, changed=())  # said once

    def _note(self, changed: tuple[str, ...]) -> None:
        """Count what had to be put back; a loop is told to every network, and to `tulle doctor`."""
        before, self._contested = self._contested, self._contention.note(changed, time.monotonic())
        if self._apart is not None and bool(before) != bool(self._contested):
            self._apart.complain(self._contested)

    def _rules(self) -> tuple[NetworkRules, ...]:
        return tuple(rules for ward in self._wards.values() for rules in ward.rules)

    def _report(self, network: str, ward: NetworkFirewall, outcome: SyncResult) -> None:
        """Tell how it went; after a failure the next wish is compared with everything there is."""
        outcome = self._told[network] = replace(outcome, exposed=self._exposed, contested=self._contested)
        if outcome.problem or outcome.unguarded:
            self._well.discard(network)
        else:
            self._well.add(network)
        ward.report(outcome)


def _networks(rules: tuple[NetworkRules, ...]) -> frozenset[IPNetwork]:
    return frozenset(one.network for one in rules)
