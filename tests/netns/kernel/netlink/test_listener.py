"""Claims about kernel.netlink.listener against the real kernel: all that happened between two reads is seen, once; closing twice is fine, and
reading a closed one is refused in words.
"""

import pytest

from kernel.errors import KernelError
from kernel.netlink.monitor import Change, Events
from kernel.netlink.requests import AddBridge
from tests.netns.spaces import Space


def test_all_between_two_reads_is_seen_once(host: Space) -> None:
    with Events(host.namespace, ["link"]) as heard:
        host.network.apply(AddBridge("br0"), AddBridge("br1"))
        assert heard.read() == {Change("link", host.index("br0")), Change("link", host.index("br1"))}
        assert heard.read() == frozenset()


def test_a_closed_one_is_refused_in_words(host: Space) -> None:
    heard = Events(host.namespace)
    heard.close()
    heard.close()
    with pytest.raises(KernelError, match="reading network events"):
        heard.read()
