"""Runs `tulle repair` when the host's firewall was flushed or reloaded, so that containers get their rules back.

It is a process beside the workers, a copy of the supervisor with all modules imported. It listens to nf_tables'
notifications and, over D-Bus, to firewalld; waits until the change is over; and runs the command. The changes that the
command makes are heard, too, and checked once more. A program that removes rules again and again is answered less and
less often, and reported. The legacy variant of iptables, also when firewalld uses it, sends no notifications.
"""

import json
import select
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernel import spawn
from kernel.errors import KernelError
from kernel.firewall.nft_monitor import ANY, NftLosses
from meta.firewall import zones

if TYPE_CHECKING:
    from meta.firewall.dbus import Bus

QUIET, LONGEST = 0.3, 3.0
"""Seconds without another change after which a reload is over, and the most to wait for that."""
PAUSE, HIGHEST = 1.0, 60.0
"""Seconds between two repairs, doubled after each that had something to do right after another, up to the highest."""
LOOP = 16.0
"""A pause of so many seconds means that somebody takes away what is made again."""
BUS_RETRY = 10.0
"""Seconds until a bus that is not there is asked for again."""
PATIENCE = 300.0
"""Seconds a repair may take; a host has hundreds of containers at most."""
SOURCE = "import sys; sys.path[:] = {paths!r}; from cli.main import main; raise SystemExit(main())"

TABLES = frozenset(
    {"filter", "nat", "raw", "cni_hostport", "cni_plugins_masquerade", "cni_firewall", "tulle-spoofchk", ANY}
)
"""Where programs of containers have rules, in both tools; what goes from others' tables concerns nobody here."""

Say = Callable[[str], None]


def command() -> list[str]:
    """Return the command line of a repair: beside the frozen program lies `tulle`, elsewhere Python runs it."""
    frozen = hasattr(sys, "frozen")
    tulle = (
        [str(Path(sys.executable).with_name("tulle"))]
        if frozen
        else [sys.executable, "-c", SOURCE.format(paths=sys.path)]
    )
    return [*tulle, "repair", "--json", "--podman"]


class Ears:
    """What tells of lost rules: the kernel, where it has nftables, and firewalld, when a bus is there. Opened as it is made."""

    def __init__(self, address: str) -> None:
        self._address, self._asked = address, 0.0
        self._bus: Bus | None = None
        self._losses: NftLosses | None
        try:
            self._losses = NftLosses()
        except KernelError:
            self._losses = None

    def hear(self, within: float) -> set[str]:
        """Return what was heard, in words, nothing when there was nothing in so many seconds; what came earlier counts."""
        self._find_bus()
        sources = [source for source in (self._losses, self._bus) if source is not None]
        ready = select.select(sources, [], [], within)[0]  # with nothing to listen to it is a pause
        heard: set[str] = set()
        if self._losses is not None and self._losses in ready and (tables := self._losses.read() & TABLES):
            heard |= {f"rules went from {one or 'nftables'}" for one in tables}
        if self._bus is not None and self._bus in ready:
            try:
                heard |= {"firewalld was reloaded"} if zones.reloads(self._bus) else set()
            except OSError:
                self._bus.close()
                self._bus = None
        return heard

    def _find_bus(self) -> None:
        if self._bus is None and time.monotonic() >= self._asked:
            self._asked = time.monotonic() + BUS_RETRY
            self._bus = zones.follow(self._address)


def watch(repair: Sequence[str], bus: str, say: Say) -> None:
    """Listen for ever, to firewalld on the message bus at `bus`."""
    ears, pause, last = Ears(bus), PAUSE, 0.0
    while True:
        heard = ears.hear(BUS_RETRY)
        if not heard:
            continue
        soon = time.monotonic() - last < 2 * pause + LONGEST
        heard |= _settle(ears)
        say(f"{', '.join(sorted(heard))}: looking for what containers lost")
        made = _repair(repair, say)
        if more := _settle(ears):  # Podman's changes, or somebody's meanwhile; without Podman a repair is not heard
            say(f"{', '.join(sorted(more))}: looking once more")
            made = _repair([word for word in repair if word != "--podman"], say) or made
        pause = min(HIGHEST, 2 * pause) if made and soon else PAUSE
        if pause >= LOOP:
            say(
                f"somebody takes rules of containers away again and again: they are made again every {pause:.0f} s (`nft monitor` shows who)"
            )
        last = time.monotonic()
        time.sleep(pause)  # noqa: TID251 - what is heard meanwhile waits in the sockets


def _settle(ears: Ears) -> set[str]:
    """Wait until nothing more is heard, and return what was."""
    end, heard = time.monotonic() + LONGEST, set[str]()
    while time.monotonic() < end and (more := ears.hear(QUIET)):
        heard |= more
    return heard


def _repair(repair: Sequence[str], say: Say) -> bool:
    """Run a repair, say what was not as it should be, and return whether that was anything."""
    try:
        done = spawn.run(repair, within=PATIENCE)
        told = list(_told(json.loads(done.stdout)))
    except (KernelError, ValueError, LookupError, TypeError) as wrong:
        say(f"rules of containers may be missing, and `tulle repair` does not make them again: {wrong}")
        return False
    for line in told:
        say(line)
    return bool(told)


def _told(report: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """Yield what a report of `tulle repair --json` has that is not as it should be, or was not, in lines."""
    for each in report["attachments"]:
        name = f"{each['network']}/{each['containerId']}/{each['ifname']}"
        yield from (
            f"{name}: {one['program']} {one['state']}: {one['said']}"
            for one in each["parts"]
            if one["state"] != "stands"
        )
    yield from (f"{one['network']}/{one['containerId']}: {one['reload']}" for one in report["driven"] if one["reload"])
