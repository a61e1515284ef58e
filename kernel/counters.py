"""How many bytes the links of this process's network namespace have received and sent.

Netlink's messages about links have the counters, too, where they take half of each message. Only monitoring needs them,
so they are read from /proc here.
"""

from pathlib import Path

COUNTERS = Path("/proc/self/net/dev")
RECEIVED, SENT = 0, 8
"""Which of a line's numbers are bytes (proc_pid_net(5))."""


def devices() -> dict[str, tuple[int, int]]:
    """Return the bytes received and sent by each link since it was made; raises OSError."""
    return parse(COUNTERS.read_text(encoding="utf-8", errors="backslashreplace"))


def parse(text: str) -> dict[str, tuple[int, int]]:
    """Read the table: two lines of headings, then a line a link, its name before the last colon."""
    found = {}
    for line in text.splitlines()[2:]:
        name, _, numbers = line.rpartition(":")
        words = numbers.split()
        found[name.strip()] = (int(words[RECEIVED]), int(words[SENT]))
    return found
