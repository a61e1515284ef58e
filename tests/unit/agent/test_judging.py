"""Claims about judging a caller:

- a process that stands where we stand, with both capabilities, is held; one without them is told so
- who has ended is gone, whatever it could have done, and nothing stays open
- nothing is received meanwhile
"""

import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent import judging
from agent.admission import RIGHTS
from agent.peercred import Caller
from agent.protocol import DeclinedError, Reason


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        yield near, far


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every process both capabilities, so that this needs no root."""
    monkeypatch.setattr(Caller, "capabilities", lambda _: RIGHTS)


def opened() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def refused(connection: socket.socket, here: judging.Place) -> Reason:
    before = opened()
    with pytest.raises(DeclinedError) as declined:
        judging.judged(connection, here)
    assert opened() == before
    return declined.value.reason


def test_who_stands_where_we_stand_is_held(pair: tuple[socket.socket, socket.socket], allowed: None) -> None:
    near, far = pair
    near.send(b"unread")
    with closing(judging.judged(far, judging.own())) as caller:
        caller.check()
    assert far.recv(10) == b"unread"


def test_who_has_no_rights_is_told_so(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Caller, "capabilities", lambda _: 0)
    assert refused(pair[1], judging.own()) is Reason.RIGHTS


def test_who_has_another_root_is_told_so(pair: tuple[socket.socket, socket.socket], allowed: None) -> None:
    here = judging.own()
    assert refused(pair[1], replace(here, root=replace(here.root, mount=-1))) is Reason.ROOT


def test_who_cannot_be_seen_is_gone(pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(_: Caller) -> int:
        raise ProcessLookupError

    monkeypatch.setattr(Caller, "capabilities", hidden)
    assert refused(pair[1], judging.own()) is Reason.GONE
