"""The one keeper of waiting in tests of the daemon: a claim is looked at again after every event of a namespace, never after a nap.

Events may be lost and files tell none, so there is a look every LONGEST seconds besides. Fails with the claim's own words.
"""

import time
from collections.abc import Callable

from kernel.netlink.monitor import Events
from kernel.netns import Namespace

LONGEST = 0.1
"""Seconds between two looks while the kernel says nothing."""


def until(true: Callable[[], object], what: str, *, namespace: Namespace | None = None, within: float = 10.0) -> float:
    """Return the seconds until `true()` was; raise AssertionError naming `what` when it is not `within` seconds."""
    started = time.monotonic()
    with Events(namespace) as events:
        while not true():
            left = started + within - time.monotonic()
            if left <= 0:
                raise AssertionError(f"not after {within:.0f} s: {what}")
            events.wait(min(left, LONGEST))
    return time.monotonic() - started
