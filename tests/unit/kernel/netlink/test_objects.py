"""Claims about kernel.netlink.objects.

- a link runs when its operstate is up, and only then
- the flags of an address read as the kernel means them
"""

from ipaddress import ip_interface

import pytest

from kernel.netlink.objects import Address, Link


@pytest.mark.parametrize(
    ("operstate", "running"), [("up", True), ("down", False), ("lowerlayerdown", False), ("unknown", False)]
)
def test_only_operstate_up_is_running(operstate: str, *, running: bool) -> None:
    assert Link(1, "eth0", up=True, operstate=operstate).running == running


@pytest.mark.parametrize(
    ("flags", "words"),
    [(0x80, {"permanent"}), (0x40, {"tentative"}), (0x48, {"tentative", "dadfailed"}), (0, set()), (0x02, set())],
)
def test_address_flags_read_as_words(flags: int, words: set[str]) -> None:
    address = Address(1, ip_interface("10.9.0.5/24"), flags=flags)
    assert {word for word in ("permanent", "tentative", "dadfailed") if getattr(address, word)} == words
