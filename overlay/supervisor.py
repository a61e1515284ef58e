"""All networks of this process, each with a daemon of its own: a failure of one does not stop the others.

With a single network a failure ends the process. With several, one that fails is started again every RETRY seconds
while the others go on; the process ends only when every one of them needs a person. The service manager and the health
server are told how all of them are.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

from kernel.errors import KernelError
from overlay import bootstrap
from overlay.bootstrap import ProcessContext
from overlay.config.settings import Settings
from overlay.errors import Refused, Unavailable
from overlay.monitoring.figures import Figures
from overlay.monitoring.http import Health
from overlay.monitoring.log import Log
from system.sd_notify import Notifier

if TYPE_CHECKING:
    from overlay.daemon import Daemon

RETRY = 30.0
"""Seconds until a network that failed is tried again."""
GRACE = 10.0
"""Seconds after the first network is ready, until the service manager is told, even if others are not ready yet."""
STARTING = "starting: reading the network config"


class NetworkRunner:
    """One network: its settings, its daemon while that runs, and its last status."""

    def __init__(self, chosen: Settings, log: Log, told: Callable[[], None]) -> None:
        self.name, self.chosen, self.log, self._told = chosen.name, chosen, log, told
        self.daemon: Daemon | None = None
        self.problem, self.said, self.announced = STARTING, STARTING, False

    def ready(self) -> None:
        """Record that the network is ready for the first time."""
        self.announced = True
        self._told()

    def status(self, text: str) -> None:
        """Record the network's status, one line."""
        self.said = text
        if self.daemon is None:
            self.problem = text
        self._told()

    def health(self) -> Health:
        """Return what is missing, and facts."""
        return self.daemon.health() if self.daemon else Health((self.problem,), {})


class Supervisor:
    """Runs every network of the settings until it is cancelled."""

    def __init__(self, chosen: Settings, shared: ProcessContext, notifier: Notifier, log: Log) -> None:
        self._several = len(chosen.each) > 1
        self._shared, self._notifier = shared, notifier
        self.members = tuple(
            NetworkRunner(one, log.about(network=one.name) if self._several else log, self._tell) for one in chosen.each
        )
        self._refused: set[str] = set()
        self._announced = self._waiting = False

    async def run(self) -> None:
        """Work until cancelled; raises an ExceptionGroup of errors that cannot be handled here."""
        for member in self.members:
            rules = bootstrap.earlier_rules(member.chosen, self._shared.clock.boot)
            self._shared.firewall.expect(member.name, rules, member.chosen.subnet_file)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._shared.firewall.run())
            group.create_task(self._beat())
            for member in self.members:
                group.create_task(self._keep(member) if self._several else self._serve(member))

    def health(self) -> Health:
        """Return what is missing in all networks, with the network's name where there are several."""
        each = {member.name: member.health() for member in self.members}
        if len(each) == 1:
            return next(iter(each.values()))
        missing = tuple(f"{name}: {what}" for name, one in each.items() for what in one.missing)
        facts = {"networks": {name: dict(one.facts) for name, one in each.items()}}
        return Health(missing, facts, alive=all(one.alive for one in each.values()))

    async def figures(self) -> dict[str, Figures]:
        """Return the figures of every network whose daemon runs, by its CIDR."""
        running = [member.daemon for member in self.members if member.daemon]
        return {daemon.network: await daemon.figures() for daemon in running}

    async def _serve(self, member: NetworkRunner) -> None:
        """Build a network's daemon and run it; whatever it opened is closed after it."""
        with ExitStack() as stack:
            member.daemon = daemon = await bootstrap.assemble(member.chosen, stack, self._shared, member, member.log)
            stack.callback(self._left, member)
            member.log.settled("network", "the network works again")
            self._refused.discard(member.name)
            await daemon.run()

    def _left(self, member: NetworkRunner) -> None:
        member.daemon = None

    async def _keep(self, member: NetworkRunner) -> None:
        """Run a network without end; a defect ends the process, and so does a refusal when all networks have one."""
        while True:
            try:
                await self._serve(member)
            except (Exception, ExceptionGroup) as failure:
                reasons = tuple(leaves(failure))
                if not all(isinstance(one, Refused | Unavailable | KernelError | OSError) for one in reasons):
                    raise
                self._note(member, reasons)
                if len(self._refused) == len(self.members):
                    raise
            await asyncio.sleep(RETRY)

    def _note(self, member: NetworkRunner, reasons: tuple[BaseException, ...]) -> None:
        member.problem = "; ".join(map(str, reasons))
        if all(isinstance(one, Refused) for one in reasons):
            self._refused.add(member.name)
        member.log.change("network", "error", "the network stands still; the others go on", reason=member.problem)
        member.status(member.problem)

    def _tell(self) -> None:
        """Tell the service manager the status of all networks, and once that they are ready."""
        alone = not self._several
        self._notifier.status("; ".join(one.said if alone else f"{one.name}: {one.said}" for one in self.members))
        ready = [one.announced for one in self.members]
        if all(ready):
            self._announce()
        elif any(ready) and not self._waiting:
            self._waiting = True
            asyncio.get_running_loop().call_later(GRACE, self._announce)

    def _announce(self) -> None:
        if not self._announced:
            self._announced = True
            self._notifier.ready()

    async def _beat(self) -> None:
        """Feed the watchdog while every daemon makes its passes; a process that hangs is then ended by the manager."""
        heartbeat = self._notifier.heartbeat
        while heartbeat is not None:
            if all(member.daemon is None or member.daemon.is_alive(2 * heartbeat) for member in self.members):
                self._notifier.alive()
            await asyncio.sleep(heartbeat)


def leaves(failure: BaseException) -> Iterator[BaseException]:
    """Return the single errors of a group, however deep."""
    if isinstance(failure, BaseExceptionGroup):
        for inner in failure.exceptions:
            yield from leaves(inner)
    else:
        yield failure
