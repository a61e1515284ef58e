"""Claims about the pure part of kernel.netlink.monitor.

- an event is a kind and a link; routes name no link
- what is no change is ignored
"""

import pytest

from kernel.netlink import monitor
from kernel.netlink.message import HEADER
from kernel.netlink.monitor import Change
from kernel.netlink.transport import Message


def _event(kind: int, body: bytes) -> Message:
    return Message(kind, 0, 0, HEADER.pack(HEADER.size + len(body), kind, 0, 0, 0) + body)


ON_SEVEN = bytes(4) + (7).to_bytes(4, "little") + bytes(4)


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (16, Change("link", 7)),
        (17, Change("link", 7)),
        (20, Change("address", 7)),
        (21, Change("address", 7)),
        (24, Change("route", 0)),
        (25, Change("route", 0)),
        (28, Change("neighbour", 7)),
        (29, Change("neighbour", 7)),
    ],
)
def test_an_event_is_a_kind_and_a_link(number: int, change: Change) -> None:
    assert monitor.change_of(_event(number, ON_SEVEN)) == change


@pytest.mark.parametrize("number", [3, 88])
def test_what_is_no_change_is_ignored(number: int) -> None:
    assert monitor.change_of(_event(number, ON_SEVEN)) is None


def test_an_event_too_short_to_name_a_link_is_about_any() -> None:
    assert monitor.change_of(_event(16, bytes(4))) == Change("link", 0)
