"""The firewall of all networks of this daemon: what each network wants, and when the rules are compared again.

The kernel tells of changes in nftables (kernel.firewall.nft_monitor): the rules are then compared soon, and otherwise
seldom. It tells nothing of iptables' own tables (the legacy variant), so there they are compared every
`--iptables-resync` seconds. The isolation of networks is compared at once, because until it is back the networks can
reach each other. Comparisons run one at a time, in a thread, because they start programs.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from kernel.firewall.nft_monitor import ANY, NftEvents
from overlay.errors import Unavailable
from overlay.firewall import isolation
from overlay.firewall.contention import Contention
from overlay.firewall.isolation_sync import Isolation
from overlay.firewall.known_networks import Kept
from overlay.firewall.rules import NetworkRules
from overlay.firewall.sync import FirewallSync, SyncResult
from overlay.firewall.tunnel_filter import TunnelFilter
from system.ip import IPNetwork

IDLE_FACTOR = 12
"""How many intervals may pass without a comparison while the kernel tells of changes."""
WATCHED_TABLES = ("flannel-ipv", "tulle-guard-", "filter", "nat", "mangle")
"""How the names of the tables begin that matter here: flannel's, our filters, and iptables' in its nf_tables variant."""

AT_ONCE = 0.02
"""Seconds between two comparisons of the isolation while it is changed, unless another program changes it in a loop."""
LOOPED = 1.0
"""The same in a loop: longer costs isolation, shorter costs processor time."""

Report = Callable[[SyncResult], None]


@dataclass(frozen=True, slots=True)
class NetworkFirewall:
    """What one network wants of the firewall."""

    rules: tuple[NetworkRules, ...]
    """The rules of the network, one set per family."""
    packet_filter: TunnelFilter | None
    """The filter of its tunnel; None for a backend without one."""
    report: Report
    """Called with the result of each sync."""
    lease_file: str = ""
    """The network's lease file; a network without one is not isolated from others."""


class FirewallManager:
    """Keeps the rules of every network; `events` is None when the kernel tells of no changes, `interval` is in seconds.

    `apart` isolates the networks from one another, and from those of other daemons on this host.
    """

    def __init__(
        self, sync: FirewallSync, events: NftEvents | None, interval: float, apart: Isolation | None = None
    ) -> None:
        self._sync, self._events, self._interval, self._apart = sync, events, interval, apart
        self._firewalls: dict[str, NetworkFirewall] = {}
        self._synced: set[str] = set()
        self._results: dict[str, SyncResult] = {}
        self._entered: list[Kept] = []
        self._contention = Contention()
        self._exposed = self._contested = ""
        self._lock = asyncio.Lock()
        self._heard, self._struck = asyncio.Event(), asyncio.Event()

    def expect(self, network: str, rules: tuple[NetworkRules, ...], lease_file: str = "") -> None:
        """Keep the rules that a network had at an earlier start, until the network says what it wants now."""
        self._firewalls.setdefault(network, NetworkFirewall(rules, None, lambda _: None, lease_file))

    async def keep(self, network: str, firewall: NetworkFirewall) -> None:
        """Sync the firewall with what a network wants from now on, and report the result."""
        async with self._lock:
            before = self._firewalls.get(network)
            self._firewalls[network] = firewall
            # first of all: networks must be isolated before a device comes up
            changed = await self._separate() if self._exposed or self._kept() != self._entered else ()
            if before is not None and before.rules == firewall.rules and network in self._synced:
                outcome = await asyncio.to_thread(self._sync.follow, before.packet_filter, firewall.packet_filter)
            else:
                gone = _networks(before.rules if before else ()) - _networks(self._rules())
                outcome = await asyncio.to_thread(self._sync.enforce, self._rules(), firewall.packet_filter, gone)
            self._report(network, firewall, replace(outcome, changed=(*changed, *outcome.changed)))

    async def run(self) -> None:
        """Compare again without end: after a change in the kernel, at most once per interval, and otherwise seldom."""
        loop = asyncio.get_running_loop()
        if self._events is not None:
            loop.add_reader(self._events.fileno(), self._read_events)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch_isolation())
                group.create_task(self._compare_again())
        finally:
            if self._events is not None:
                loop.remove_reader(self._events.fileno())

    async def _compare_again(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self._wait()
            self._heard.clear()
            await self._look()

    async def _wait(self) -> None:
        """Wait for a change in the kernel, at most IDLE_FACTOR intervals; not at all if it does not tell of every change."""
        for _ in range(IDLE_FACTOR - 1):
            if self._heard.is_set() or self._events is None or not self._sync.sees_all_changes:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._heard.wait()

    def _read_events(self) -> None:
        names = self._events.read() if self._events is not None else frozenset()
        if any(name.startswith(WATCHED_TABLES) or name == ANY for name in names):
            self._heard.set()
        if any(name.startswith(isolation.TABLE) or name == ANY for name in names):
            self._struck.set()

    async def _watch_isolation(self) -> None:
        """Compare the isolation as soon as it was changed, but only every LOOPED seconds in a loop with another program."""
        while True:
            await self._struck.wait()
            self._struck.clear()
            async with self._lock:
                changed = await self._separate()
                self._note(changed)
                for network, firewall in self._firewalls.items() if changed or self._exposed else ():
                    self._report(
                        network, firewall, replace(self._results.get(network, SyncResult((), "")), changed=changed)
                    )
                    changed = ()  # one network's log line is enough
            # the kernel tells of our own change, too: that comparison finds nothing to do
            await asyncio.sleep(min(self._interval, LOOPED) if self._contested else AT_ONCE)

    async def _separate(self) -> tuple[str, ...]:
        """Sync the isolation of all networks, and return what was changed; a failure is reported to every network."""
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
            Kept(name, firewall.lease_file, tuple(one.network for one in firewall.rules))
            for name, firewall in self._firewalls.items()
            if firewall.rules and firewall.lease_file
        ]

    async def _look(self) -> None:
        """Compare everything once: the rules of all networks together, then the filter of each tunnel."""
        async with self._lock:
            if not self._firewalls:
                return
            changed = await self._separate()
            shared = await asyncio.to_thread(self._sync.enforce, self._rules())
            shared = replace(shared, changed=(*changed, *shared.changed))
            guards = {
                network: await asyncio.to_thread(self._sync.enforce, (), firewall.packet_filter)
                for network, firewall in self._firewalls.items()
            }
            self._note((*shared.changed, *(what for own in guards.values() for what in own.changed)))
            for network, firewall in self._firewalls.items():
                own = guards[network]
                outcome = replace(shared, changed=shared.changed + own.changed, unguarded=own.unguarded)
                self._report(network, firewall, outcome)
                shared = replace(shared, changed=())  # one network's log line is enough

    def _note(self, changed: tuple[str, ...]) -> None:
        """Count what had to be repaired; a loop is reported to every network, and to `tulle doctor`."""
        before, self._contested = self._contested, self._contention.note(changed, time.monotonic())
        if self._apart is not None and bool(before) != bool(self._contested):
            self._apart.complain(self._contested)

    def _rules(self) -> tuple[NetworkRules, ...]:
        return tuple(rules for firewall in self._firewalls.values() for rules in firewall.rules)

    def _report(self, network: str, firewall: NetworkFirewall, outcome: SyncResult) -> None:
        """Report a result to a network; after a failure the next change is a full comparison."""
        outcome = self._results[network] = replace(outcome, exposed=self._exposed, contested=self._contested)
        if outcome.problem or outcome.unguarded:
            self._synced.discard(network)
        else:
            self._synced.add(network)
        firewall.report(outcome)


def _networks(rules: tuple[NetworkRules, ...]) -> frozenset[IPNetwork]:
    return frozenset(one.network for one in rules)
