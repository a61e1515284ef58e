"""Notices that somebody else changes the same rules again and again, so that a loop of two programs is said and not only run.

Counts, in the clock it is handed, how often the same part had to be put back without anybody here wanting it otherwise.
"""

from collections import deque
from collections.abc import Iterable

WINDOW = 60.0
"""Seconds in which changes are counted, and after which a loop that has stopped is over."""
MANY = 5
"""So many within that time are a loop: a reload of a firewall is one, and by two programs together a few."""
REMEDY = "something else on this host keeps changing it: find it with `nft monitor` or `xtables-monitor`, and let one of the two have it"


class Contention:
    """What was put back lately."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, str]] = deque()

    def note(self, changed: Iterable[str], now: float) -> str:
        """Take note of what was put back at a time; return what to tell people while there is a loop, else ""."""
        self._seen.extend((now, what) for what in changed)
        while self._seen and self._seen[0][0] < now - WINDOW:
            self._seen.popleft()
        parts = [what for _, what in self._seen]
        looped = sorted({what for what in parts if parts.count(what) >= MANY})
        if not looped:
            return ""
        counted = ", ".join(f"{what} ({parts.count(what)} times)" for what in looped)
        return f"in {WINDOW:.0f} s {counted}; {REMEDY}"
