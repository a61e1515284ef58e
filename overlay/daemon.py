"""The daemon at work: the tasks that keep the lease, listen to store and kernel, and bring everything in line.

Every change of the store or of our links in the kernel leads to a pass of overlay.datapath.reconciler, and so does every PERIOD seconds
in which nothing was heard. Blind spot: what the kernel does between two passes without telling.
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
"""Seconds after which a pass is made though nothing was heard."""
DEBOUNCE = 0.02
"""Seconds a pass waits for more news of the same kind, so that a burst costs one pass."""
STORE_SILENCE_LIMIT = 300.0
"""Seconds a store may be silent while the daemon is ready: what changed since is not known here."""
WATCH_BACKOFF, WATCH_CEILING = 0.1, 5.0
"""Seconds between attempts to watch a store that fails, doubling (docs/reference/flannel.md 2.7)."""


class Listener(Protocol):
    """Who is told how the daemon does."""

    def ready(self) -> None:
        """All is ready, for the first time."""
        ...

    def status(self, text: str) -> None:
        """How it stands now, in one line."""
        ...


@dataclass(frozen=True, slots=True)
class Outside:
    """What the daemon needs of the world around it."""

    store: Store
    ground: UnderlayMonitor
    events: Events
    listener: Listener
    chance: Clock
    log: Log
    keeper: FirewallManager
    name: str = ""
    """What the network is called where there are several."""


class Daemon:
    """One daemon for one network; `run` ends only by being cancelled or by an error nobody here can mend."""

    def __init__(self, outside: Outside, state: LeaseState, upkeep: Reconciler) -> None:
        self._outside, self._upkeep = outside, upkeep
        self._tenant = LeaseManager(outside.store, state, self, outside.chance, outside.log)
        self._peers = Peers()
        self._own: Lease | None = None
        self._due = asyncio.Event()
        self._ward: NetworkFirewall | None = None
        self._last_pass = outside.chance.now()
        self._renewed: float | None = None
        self._announced = False
        self._doubtful = True
        """Whether the kernel may be another than after the last pass."""

    async def run(self) -> None:
        """Work until cancelled; raises an ExceptionGroup of Refused or whatever else ended a task."""
        self._last_pass = self._outside.chance.now()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._outside.events.fileno(), self._heard_kernel)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tenant.run())
                group.create_task(self._watch_store())
                group.create_task(self._keep_up())
        finally:
            loop.remove_reader(self._outside.events.fileno())

    def lively(self, within: float) -> bool:
        """Return whether passes are made: the last one at most `within` seconds ago, or a few times PERIOD."""
        return self._outside.chance.now() - self._last_pass < max(4 * PERIOD, within)

    def health(self) -> Health:
        """Return what is missing for readiness, and facts."""
        progress, own = self._upkeep.progress, self._own
        missing = [f"lease: {self._tenant.problem}"] if own is None or self._tenant.problem else []
        silent = time.monotonic() - self._outside.store.heard
        if silent >= STORE_SILENCE_LIMIT:
            missing.append(f"store: not heard for {silent:.0f} s")
        alive = self.lively(0.0)
        if not alive:
            missing.append(f"loop: no comparison for {4 * PERIOD:.0f} s or more")
        if not self._peers.known:
            missing.append("peers: the store has not listed them yet")
        missing += [f"{part}: {problem}" for part, problem in progress.failed.items()]
        missing += [f"underlay: {self._outside.ground.problem}"] if self._outside.ground.problem else []
        if not progress.written:
            missing.append("lease file: not written yet")
        facts: dict[str, object] = {"network": self.network, "backend": self._upkeep.backend_type}
        facts |= {"subnet": str(own.subnet) if own else None, "peers": progress.peers}
        facts |= {"repairs": progress.repairs, "passes": progress.passes}
        return Health(tuple(missing), facts, alive=alive)

    @property
    def network(self) -> str:
        """The CIDR by which people tell networks apart."""
        return self._upkeep.cidr

    async def figures(self) -> Figures:
        """Return what can be counted; in a thread what other programs count."""
        progress, own = self._upkeep.progress, self._own
        devices, peers = await asyncio.to_thread(self._upkeep.traffic)
        dropped = await asyncio.to_thread(self._upkeep.dropped)
        return Figures(
            *(len(self._peers), progress.peers, progress.peers - progress.unprogrammed, progress.refused),
            *(progress.repairs, progress.drift, progress.passes, self._upkeep.messages),
            contested=int(progress.contested),
            store_age=time.monotonic() - self._outside.store.heard,
            renewal_age=None if own is None or self._renewed is None else self._outside.chance.now() - self._renewed,
            devices=devices,
            bytes_of_peers=peers,
            dropped=dropped,
        )

    def published(self, lease: Lease) -> None:
        """Take over the lease the tenant got; the next pass programs and publishes it."""
        if self._own is None or self._own.subnet != lease.subnet:
            self._outside.log.info("lease acquired", subnet=lease.subnet, public_ip=lease.attributes.public_ip)
        else:
            self._outside.log.detail("lease renewed", subnet=lease.subnet)
        self._own, self._renewed = lease, self._outside.chance.now()
        self._due.set()

    def withdrawn(self, lease: Lease, reason: str) -> None:
        """Take the lease file away now; tunnels stay for the containers that still run."""
        self._own = None
        self._upkeep.withdraw(lease, reason)
        self._due.set()

    async def _watch_store(self) -> None:
        """Follow the store for ever, from a listing and then from what was last heard; failures are longer and longer pauses."""
        pause, cursor = WATCH_BACKOFF, None
        while True:
            try:
                if cursor is None:
                    first = await self._outside.store.leases()
                    cursor = first.cursor
                    self._take(first)
                async for update in self._outside.store.watch(cursor):
                    self._outside.log.settled("store", "the store answers again")
                    pause, cursor = WATCH_BACKOFF, update.cursor
                    self._take(update)
            except (StoreError, Refused) as problem:
                self._outside.log.change("store", "warning", "the store does not answer", problem=problem)
            await asyncio.sleep(pause)
            pause = min(WATCH_CEILING, pause * 2)

    async def _keep_up(self) -> None:
        """Pass whenever something was heard, at the latest after PERIOD."""
        while True:
            # not asyncio.wait_for: before Python 3.12 it swallows a cancellation that comes with the event
            try:
                async with asyncio.timeout(PERIOD):
                    await self._due.wait()
                    await asyncio.sleep(DEBOUNCE)
            except TimeoutError:
                self._doubtful = True
            self._due.clear()
            await self._pass()

    async def _pass(self) -> None:
        trusting, self._doubtful = not self._doubtful, False
        try:
            self._look_around()
            if self._own is not None and self._peers.known:
                await self._arrange(self._own, trusting=trusting)
        except KernelError as problem:
            self._outside.log.change("pass", "error", "the kernel cannot be read", problem=problem)
            return
        self._outside.log.settled("pass", "the kernel can be read again")
        self._upkeep.progress.passes += 1
        self._last_pass = self._outside.chance.now()
        self._announce()

    async def _arrange(self, own: Lease, *, trusting: bool) -> None:
        upkeep = self._upkeep
        desired = upkeep.plan(own, self._peers.others(own.subnet, own.attributes.public_ip))
        await self._firewall(own, desired)
        if upkeep.exposed:
            return  # no device before its network is kept apart from the others
        if not trusting:
            upkeep.clear(own, desired)
        mtu = upkeep.tunnels(desired, trusting=trusting)
        if not trusting:
            upkeep.remember(own, desired)
        if self._own is own:
            upkeep.bridge(own, mtu)
            upkeep.publish(own, mtu)

    def _look_around(self) -> None:
        """See whether this host still stands where it stood; if not, program that at once and publish it."""
        ground, log = self._outside.ground, self._outside.log
        before, stand = ground.stand.underlay, ground.look()
        if ground.problem:
            log.change(
                "underlay", "warning", "the underlay is not as it was; all stays as it is", problem=ground.problem
            )
        else:
            log.settled("underlay", "the underlay is as it was again")
        if stand is None:
            return
        now = stand.underlay
        log.info("underlay changed", interface=now.interface, public_ip=now.public_ip, mtu=now.mtu)
        self._upkeep.move(stand.backend)
        if now.addresses != before.addresses:
            self._outside.store.moved()
            self._tenant.tell(AddressChanged(stand.policy))

    async def _firewall(self, own: Lease, desired: Desired) -> None:
        """Have rules and guard kept when they are other ones than before; between that, the keeper looks by itself."""
        upkeep = self._upkeep
        ward = NetworkFirewall(upkeep.rules(own), upkeep.guard(desired), upkeep.firewall, upkeep.lease_file)
        if ward != self._ward or {"firewall", "tunnel guard", "isolation"} & upkeep.progress.failed.keys():
            self._ward = ward
            await self._outside.keeper.keep(self._outside.name, ward)

    def _take(self, update: Update) -> None:
        for event in self._peers.apply(update):
            self._tenant.tell(event)
        self._due.set()

    def _heard_kernel(self) -> None:
        if self._outside.events.read():
            self._doubtful = True
            self._due.set()

    def _announce(self) -> None:
        """Tell the service manager once that all is ready, and always how it stands."""
        health = self.health()
        listener = self._outside.listener
        if not health.missing and not self._announced:
            self._announced = True
            listener.ready()
            self._outside.log.info("ready", **health.facts)
        listener.status("; ".join(health.missing) or f"{health.facts['subnet']}, {health.facts['peers']} peers")
