"""Claims about the pure part of kernel.events.

- a datagram tells which kinds changed on which links; routes name no link
- what is no change is ignored
"""

import pytest

from kernel import events
from kernel.events import Change
from kernel.transport import HEADER


def _event(kind: int, index: int, size: int = 12) -> bytes:
    body = bytes(4) + index.to_bytes(4, "little") + bytes(size - 8)
    return HEADER.pack(HEADER.size + size, kind, 0, 0, 0) + body


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
    assert events._changes(_event(number, 7)) == {change}


def test_several_events_of_one_datagram_are_all_seen() -> None:
    assert events._changes(_event(16, 7) + _event(20, 8)) == {Change("link", 7), Change("address", 8)}


def test_what_is_no_change_is_ignored() -> None:
    assert events._changes(_event(3, 7) + _event(88, 7)) == set()


def test_an_event_too_short_to_name_a_link_is_about_any() -> None:
    header = HEADER.pack(HEADER.size + 4, 16, 0, 0, 0)
    assert events._changes(header + bytes(4)) == {Change("link", 0)}
