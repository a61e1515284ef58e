"""The program tulled: reads its settings, builds the daemon, and turns its end into an exit code.

Arguments, environment, signals and clocks of the process are used here and nowhere else in the daemon. Exit codes: 0
after a signal, 1 for what a restart may mend, 2 for what a person must correct.
"""

import asyncio
import contextlib
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cni import release
from kernel.errors import KernelError
from overlay import bootstrap
from overlay.config import settings
from overlay.config.settings import Settings
from overlay.errors import Refused, Unavailable
from overlay.monitoring import http
from overlay.monitoring.log import Log
from overlay.stores.sqlite import Clock
from overlay.subnet.manager import Clock as LeaseClock
from overlay.supervisor import Supervisor, leaves
from system.sd_notify import Notifier

LISTEN_RETRY = 5.0
"""Seconds until the health server tries again to listen."""


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run tulled and give its exit code; without arguments those of the process are taken."""
    words = sys.argv[1:] if argv is None else argv
    variables = os.environ if environ is None else environ  # noqa: TID251 - the daemon's one reader of the environment
    if any(word.removesuffix("=true") in ("--version", "-version") for word in words):
        sys.stderr.write(f"tulled {release.version()}\n")
        return 0
    try:
        chosen = settings.parse(words, variables, sys.stderr)
    except Refused as problem:
        sys.stderr.write(f"tulled: {problem}\n")
        return 2
    except SystemExit:  # argparse after --help
        return 0
    log = Log(sys.stderr, clock=_time_of_day, form=chosen.log_format, verbose=chosen.v > 0)
    if chosen.ignored:
        log.warning("without effect here, see tulled --help", flags=", ".join(chosen.ignored))
    for name, remedy in settings.strangers(variables).items():
        log.warning("a variable that tulled does not know", variable=name, remedy=remedy)
    return _run(chosen, variables, log)


def _run(chosen: Settings, environ: Mapping[str, str], log: Log) -> int:
    try:
        asyncio.run(_serve(chosen, Notifier(environ), log))
    except Exception as failure:  # noqa: BLE001 - the last frame that can still say why
        return _last_words(log, failure)
    return 0


async def _serve(chosen: Settings, notifier: Notifier, log: Log) -> None:
    """Work until SIGTERM or SIGINT; data path, lease file and lease stay as they are."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, log.info, "SIGHUP changes nothing: settings are read at the start")
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGHUP,))  # build.entry has kept it until now
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    with contextlib.ExitStack() as stack:
        work = asyncio.create_task(_work(chosen, notifier, log, stack))
        end = asyncio.create_task(stopped.wait())
        await asyncio.wait((work, end), return_when=asyncio.FIRST_COMPLETED)
        end.cancel()
        if stopped.is_set():
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().remove_signal_handler(number)  # a second one ends us at once
            notifier.stopping()
            log.info("stopping; tunnels, lease and lease file stay")
            work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


async def _work(chosen: Settings, notifier: Notifier, log: Log, stack: contextlib.ExitStack) -> None:
    clock = Clock(_boot_id(), _seconds_since_boot)
    shared = bootstrap.share(chosen, stack, LeaseClock(clock.now, random.random), clock)
    supervisor = Supervisor(chosen, shared, notifier, log)
    async with asyncio.TaskGroup() as group:
        if chosen.healthz_port:
            group.create_task(_answer(chosen, supervisor, log, stack))
        group.create_task(supervisor.run())


async def _answer(chosen: Settings, supervisor: Supervisor, log: Log, stack: contextlib.ExitStack) -> None:
    """Start the health server; while its address or port cannot be had, try again: the network matters more."""
    measure, place = partial(_metrics, supervisor), f"{chosen.healthz_ip} port {chosen.healthz_port}"
    while True:
        try:
            server = await http.serve(chosen.healthz_ip, chosen.healthz_port, supervisor.health, measure)
        except OSError as problem:
            log.change("health", "warning", f"health cannot be asked for at {place} yet", problem=problem)
            await asyncio.sleep(LISTEN_RETRY)
        else:
            log.settled("health", f"health can be asked for at {place}")
            stack.callback(server.close)
            return


async def _metrics(supervisor: Supervisor) -> tuple[str, bytes]:
    """Write the figures of what runs; prometheus_client is imported here, so that only who asks pays for it."""
    from overlay.monitoring import metrics  # noqa: PLC0415 - see above

    return metrics.CONTENT_TYPE, metrics.render(await supervisor.figures())


def _last_words(log: Log, failure: BaseException) -> int:
    """Return why the daemon ends: a sentence for what can happen, the trace for what must not."""
    reasons = list(leaves(failure))
    for reason in reasons:
        if isinstance(reason, Refused | Unavailable | KernelError | OSError):
            log.error("tulled ends", reason=reason)
        else:
            log.error("tulled ends by a defect", trace="".join(traceback.format_exception(reason)))
    return 2 if reasons and all(isinstance(reason, Refused) for reason in reasons) else 1


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _seconds_since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _time_of_day() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
