"""Limits what is logged of malformed entries in a store: one line per kind of problem.

Whoever can write to the store can write ten thousand bad entries. The first of a kind is logged; another entry of the
same kind only after QUIET seconds. So memory and log stay bounded.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from overlay.errors import Refused
from overlay.monitoring.log import Log

QUIET = 3600.0
"""Seconds until another entry of the same kind is named."""
KINDS = 32
"""How many kinds are told apart; the rest is one kind."""
OTHER = "other"
_SPECIFIC = re.compile(r"[0-9]+")


@dataclass(slots=True)
class _Kind:
    entry: tuple[str, str]
    said: float


class Complaints:
    """Takes what one store has to report; `now` gives seconds."""

    def __init__(self, log: Log, now: Callable[[], float] = time.monotonic) -> None:
        self._log, self._now = log, now
        self._kinds: dict[str, _Kind] = {}

    def report(self, problem: Refused) -> None:
        """Log a bad entry if it is the first of its kind, or the first other one for long."""
        kind, entry, now = _kind_of(problem), (problem.where, problem.what), self._now()
        if kind not in self._kinds and len(self._kinds) >= KINDS:
            kind = OTHER
        known = self._kinds.get(kind)
        if known is not None and (known.entry == entry or now - known.said < QUIET):
            return
        self._kinds[kind] = _Kind(entry, now)
        more = f"others of this kind are not named for {QUIET / 60:.0f} minutes"
        self._log.warning("entry left out", problem=problem, more=more)


def _kind_of(problem: Refused) -> str:
    """Return our own words about an entry, which stand behind what it says itself, without numbers."""
    return _SPECIFIC.sub("", problem.what.rpartition(": ")[2])[:80]
