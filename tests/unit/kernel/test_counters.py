"""Claims: received and sent bytes are read by link, whatever the name; this process's own links are listed."""

from kernel import counters

TABLE = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      200       2    0    0    0     0       0          0
flannel.1:12345678901 2 0 0 0 0 0 0 42 3 0 0 0 0 0 0
"""


def test_bytes_are_read_by_link() -> None:
    assert counters.parse(TABLE) == {"lo": (100, 200), "flannel.1": (12345678901, 42)}


def test_our_own_links_are_listed() -> None:
    assert "lo" in counters.devices()
