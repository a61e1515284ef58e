"""Notices that another program changes the same rules again and again, so that the loop is reported.

It counts how often the same part of the rules had to be repaired although nobody here wanted it changed.
"""

from collections import deque
from collections.abc import Iterable

WINDOW = 60.0
"""Seconds in which repairs are counted; a loop that has stopped is over after that time."""
MANY = 5
"""So many repairs of one part in that time are a loop; reloads of a firewall make a few."""
REMEDY = "something else on this host keeps changing it: find it with `nft monitor` or `xtables-monitor`, and let one of the two have it"


class Contention:
    """What was repaired in the last WINDOW seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, str]] = deque()

    def note(self, changed: Iterable[str], now: float) -> str:
        """Record repairs at the time `now` in seconds; return the message about a loop, "" while there is none."""
        self._seen.extend((now, what) for what in changed)
        while self._seen and self._seen[0][0] < now - WINDOW:
            self._seen.popleft()
        parts = [what for _, what in self._seen]
        looped = sorted({what for what in parts if parts.count(what) >= MANY})
        if not looped:
            return ""
        counted = ", ".join(f"{what} ({parts.count(what)} times)" for what in looped)
        return f"in {WINDOW:.0f} s {counted}; {REMEDY}"
