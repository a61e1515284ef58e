"""The daemon of one network at work: keeps the lease, follows store and kernel, and brings everything in line.

Every change in the store, and every change of links, addresses, routes or neighbours in the kernel, leads to a pass of
overlay.datapath.reconciler. So does every PERIOD seconds without one, because the kernel does not tell of everything.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol

from kernel.errors import KernelError
from kernel.netlink.monitor import Events
from overlay.backends import Desired
from overlay.datapath.reconciler import Reconciler
from overlay.datapath.underlay_monitor import UnderlayMonitor
from overlay.errors import Refused, StoreError
from overlay.firewall.manager import FirewallManager, NetworkFirewall
from overlay.monitoring.figures import Figures
from overlay.monitoring.http import Health
from overlay.monitoring.log import Log
from overlay.stores import Store, Update
from overlay.subnet.lease import Lease
from overlay.subnet.manager import Clock, LeaseManager
from overlay.subnet.peers import Peers
from overlay.subnet.state_machine import AddressChanged, LeaseState

PERIOD = 5.0
"""Seconds after which a pass is made without an event."""
DEBOUNCE = 0.02
"""Seconds a pass waits for further events, so that a burst of them costs one pass."""
STORE_SILENCE_LIMIT = 300.0
"""Seconds without an answer of the store after which the daemon is not ready: changes since then are unknown."""
WATCH_BACKOFF, WATCH_CEILING = 0.1, 5.0
"""Seconds between attempts to watch a store that fails, doubling (docs/reference/flannel.md 2.7)."""


class Listener(Protocol):
    """What is told when the daemon is ready, and its status."""

    def ready(self) -> None:
        """All is ready, for the first time."""
        ...

    def status(self, text: str) -> None:
        """How it stands now, in one line."""
        ...


@dataclass(frozen=True, slots=True)
class Outside:
    """The parts a daemon works with, which bootstrap built."""

    store: Store
    """The store of leases."""
    underlay: UnderlayMonitor
    """The interface and address in use."""
    events: Events
    """The kernel's events in this network namespace."""
    listener: Listener
    """Is told when the daemon is ready, and its status."""
    lease_clock: Clock
    """Time and random numbers."""
    log: Log
    """The log, with the network's name where there are several."""
    firewall: FirewallManager
    """The firewall of all networks."""
    name: str = ""
    """What the network is called where there are several."""


class Daemon:
    """The daemon of one network; `run` ends only when it is cancelled, or with an error that cannot be handled here."""

    def __init__(self, outside: Outside, state: LeaseState, reconciler: Reconciler) -> None:
        self._outside, self._reconciler = outside, reconciler
        self._leases = LeaseManager(outside.store, state, self, outside.lease_clock, outside.log)
        self._peers = Peers()
        self._own: Lease | None = None
        self._due = asyncio.Event()
        self._wanted_firewall: NetworkFirewall | None = None
        self._last_pass = outside.lease_clock.now()
        self._renewed: float | None = None
        self._announced = False
        self._full_compare_due = True
        """Whether the kernel's state may have changed since the last pass, so that it must be read."""

    async def run(self) -> None:
        """Work until cancelled; raises an ExceptionGroup of Refused or whatever else ended a task."""
        self._last_pass = self._outside.lease_clock.now()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._outside.events.fileno(), self._heard_kernel)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._leases.run())
                group.create_task(self._watch_store())
                group.create_task(self._keep_up())
        finally:
            loop.remove_reader(self._outside.events.fileno())

    def is_alive(self, within: float) -> bool:
        """Return whether passes are made: the last one at most `within` seconds ago, or a few times PERIOD."""
        return self._outside.lease_clock.now() - self._last_pass < max(4 * PERIOD, within)

    def health(self) -> Health:
        """Return what is missing for readiness, and facts."""
        progress, own = self._reconciler.progress, self._own
        missing = [f"lease: {self._leases.problem}"] if own is None or self._leases.problem else []
        silent = time.monotonic() - self._outside.store.heard
        if silent >= STORE_SILENCE_LIMIT:
            missing.append(f"store: not heard for {silent:.0f} s")
        alive = self.is_alive(0.0)
        if not alive:
            missing.append(f"loop: no comparison for {4 * PERIOD:.0f} s or more")
        if not self._peers.known:
            missing.append("peers: the store has not listed them yet")
        missing += [f"{part}: {problem}" for part, problem in progress.failed.items()]
        missing += [f"underlay: {self._outside.underlay.problem}"] if self._outside.underlay.problem else []
        if not progress.written:
            missing.append("lease file: not written yet")
        facts: dict[str, object] = {"network": self.network, "backend": self._reconciler.backend_type}
        facts |= {"subnet": str(own.subnet) if own else None, "peers": progress.peers}
        facts |= {"repairs": progress.repairs, "passes": progress.passes}
        return Health(tuple(missing), facts, alive=alive)

    @property
    def network(self) -> str:
        """The CIDR by which people tell networks apart."""
        return self._reconciler.cidr

    async def figures(self) -> Figures:
        """Return the figures for /metrics; those that need other programs are collected in a thread."""
        progress, own = self._reconciler.progress, self._own
        devices, peers = await asyncio.to_thread(self._reconciler.traffic)
        dropped = await asyncio.to_thread(self._reconciler.dropped)
        return Figures(
            *(len(self._peers), progress.peers, progress.peers - progress.unprogrammed, progress.refused),
            *(progress.repairs, progress.drift, progress.passes, self._reconciler.messages),
            contested=int(progress.contested),
            store_age=time.monotonic() - self._outside.store.heard,
            renewal_age=None
            if own is None or self._renewed is None
            else self._outside.lease_clock.now() - self._renewed,
            devices=devices,
            bytes_of_peers=peers,
            dropped=dropped,
        )

    def published(self, lease: Lease) -> None:
        """Use a lease that was acquired or renewed; the next pass programs it and writes the lease file."""
        if self._own is None or self._own.subnet != lease.subnet:
            self._outside.log.info("lease acquired", subnet=lease.subnet, public_ip=lease.attributes.public_ip)
        else:
            self._outside.log.detail("lease renewed", subnet=lease.subnet)
        self._own, self._renewed = lease, self._outside.lease_clock.now()
        self._due.set()

    def withdrawn(self, lease: Lease, reason: str) -> None:
        """Delete the lease file now; tunnels stay for the containers that still run."""
        self._own = None
        self._reconciler.withdraw(lease, reason)
        self._due.set()

    async def _watch_store(self) -> None:
        """Follow the store without end, from a listing on; after a failure wait, twice as long each time."""
        pause, cursor = WATCH_BACKOFF, None
        while True:
            try:
                if cursor is None:
                    first = await self._outside.store.leases()
                    cursor = first.cursor
                    self._apply_update(first)
                async for update in self._outside.store.watch(cursor):
                    self._outside.log.settled("store", "the store answers again")
                    pause, cursor = WATCH_BACKOFF, update.cursor
                    self._apply_update(update)
            except (StoreError, Refused) as problem:
                self._outside.log.change("store", "warning", "the store does not answer", problem=problem)
            await asyncio.sleep(pause)
            pause = min(WATCH_CEILING, pause * 2)

    async def _keep_up(self) -> None:
        """Make a pass after every event, and at the latest after PERIOD seconds."""
        while True:
            # not asyncio.wait_for: before Python 3.12 it swallows a cancellation that comes with the event
            try:
                async with asyncio.timeout(PERIOD):
                    await self._due.wait()
                    await asyncio.sleep(DEBOUNCE)
            except TimeoutError:
                self._full_compare_due = True
            self._due.clear()
            await self._pass()

    async def _pass(self) -> None:
        trusting, self._full_compare_due = not self._full_compare_due, False
        try:
            self._check_underlay()
            if self._own is not None and self._peers.known:
                await self._arrange(self._own, trusting=trusting)
        except KernelError as problem:
            self._outside.log.change("pass", "error", "the kernel cannot be read", problem=problem)
            return
        self._outside.log.settled("pass", "the kernel can be read again")
        self._reconciler.progress.passes += 1
        self._last_pass = self._outside.lease_clock.now()
        self._announce()

    async def _arrange(self, own: Lease, *, trusting: bool) -> None:
        reconciler = self._reconciler
        desired = reconciler.plan(own, self._peers.others(own.subnet, own.attributes.public_ip))
        await self._firewall(own, desired)
        if reconciler.exposed:
            return  # no device before its network is kept apart from the others
        if not trusting:
            reconciler.clear(own, desired)
        mtu = reconciler.tunnels(desired, trusting=trusting)
        if not trusting:
            reconciler.remember(own, desired)
        if self._own is own:  # the lease may have been withdrawn while the firewall was synced
            reconciler.bridge(own, mtu)
            reconciler.publish(own, mtu)

    def _check_underlay(self) -> None:
        """Check whether the underlay has changed; if so, use it at once and publish the new address."""
        underlay, log = self._outside.underlay, self._outside.log
        before, stand = underlay.stand.underlay, underlay.look()
        if underlay.problem:
            log.change(
                "underlay", "warning", "the underlay is not as it was; all stays as it is", problem=underlay.problem
            )
        else:
            log.settled("underlay", "the underlay is as it was again")
        if stand is None:
            return
        now = stand.underlay
        log.info("underlay changed", interface=now.interface, public_ip=now.public_ip, mtu=now.mtu)
        self._reconciler.move(stand.backend)
        if now.addresses != before.addresses:  # another MTU alone changes nothing for other hosts
            self._outside.store.moved()
            self._leases.tell(AddressChanged(stand.policy))

    async def _firewall(self, own: Lease, desired: Desired) -> None:
        """Sync the firewall when this network wants other rules than before; in between, the manager compares by itself."""
        reconciler = self._reconciler
        wanted = NetworkFirewall(
            reconciler.rules(own), reconciler.guard(desired), reconciler.firewall, reconciler.lease_file
        )
        if (
            wanted != self._wanted_firewall
            or {"firewall", "tunnel guard", "isolation"} & reconciler.progress.failed.keys()
        ):
            self._wanted_firewall = wanted
            await self._outside.firewall.keep(self._outside.name, wanted)

    def _apply_update(self, update: Update) -> None:
        for event in self._peers.apply(update):
            self._leases.tell(event)
        self._due.set()

    def _heard_kernel(self) -> None:
        if self._outside.events.read():
            self._full_compare_due = True
            self._due.set()

    def _announce(self) -> None:
        """Tell the service manager the status, and once that the network is ready."""
        health = self.health()
        listener = self._outside.listener
        if not health.missing and not self._announced:
            self._announced = True
            listener.ready()
            self._outside.log.info("ready", **health.facts)
        listener.status("; ".join(health.missing) or f"{health.facts['subnet']}, {health.facts['peers']} peers")
