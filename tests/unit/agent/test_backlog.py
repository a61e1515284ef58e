"""Claims about what is taken while every worker is busy:

- requests come out in the order they went in, their connection and descriptors with them, also after the writer has gone
- the first one is seen to be late without being received
- it has room for hundreds, and then none until one is got
- the token can be taken once, and is a pipe
"""

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent import backlog
from agent.backlog import Arrival, Overflow
from agent.peercred import Caller
from agent.protocol import COUNT, DeclinedError, Reason


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


def opened() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def arrival(connection: socket.socket, data: bytes) -> Arrival:
    token = [os.open(os.devnull, os.O_RDONLY) for _ in range(COUNT)]
    return Arrival(connection, Caller(connection), data, token, taken=True)


def put(queue: Overflow, arrived: Arrival) -> None:
    assert arrived.caller
    queue.put(arrived, arrived.caller)


def test_requests_come_out_as_they_went_in(pair: tuple[socket.socket, socket.socket]) -> None:
    with closing(Overflow()) as queue:
        came_out_as_they_went_in(queue, pair)


def came_out_as_they_went_in(queue: Overflow, pair: tuple[socket.socket, socket.socket]) -> None:
    assert queue.is_empty()
    for data in (b"first", b"second"):
        arrived = arrival(pair[0].dup(), data)
        put(queue, arrived)
        arrived.close()
    queue.close_entry()

    for data in (b"first", b"second"):
        got = queue.get()
        assert got is not None
        assert (got.data, len(got.received), got.taken) == (data, COUNT, True)
        assert got.caller
        got.caller.check()
        got.connection.send(data)
        assert pair[1].recv(10) == data
        got.close()
    assert queue.get() is None
    assert queue.is_empty()


def test_a_late_one_is_seen_without_being_received(pair: tuple[socket.socket, socket.socket]) -> None:
    patient, impatient = Overflow(), Overflow(longest=0)
    arrived = arrival(pair[0], b"x")
    descriptors = opened()
    for queue, late in ((patient, False), (impatient, True)):
        assert not queue.is_late()
        put(queue, arrived)
        assert queue.is_late() is late
    assert opened() == descriptors
    for each in (arrived, patient, impatient):
        each.close()


def test_it_has_room_for_hundreds_and_an_end(pair: tuple[socket.socket, socket.socket]) -> None:
    queue, arrived, count = Overflow(), arrival(pair[0], b"x" * 3000), 0
    while queue.has_room():
        put(queue, arrived)
        count += 1
    arrived.close()
    assert 200 < count < 5000
    while got := queue.get():
        got.close()
    assert queue.has_room()
    queue.close()


def test_the_token_can_be_taken_once() -> None:
    token, filler = os.pipe()
    os.write(filler, b"!")
    assert backlog.take_token(token)
    assert not backlog.take_token(token)
    os.close(filler)
    assert not backlog.take_token(token)
    os.close(token)


@pytest.mark.parametrize("path", ["/dev/zero", "/proc/self/status", "/"])
def test_another_token_is_not_touched(path: str) -> None:
    other = os.open(path, os.O_RDONLY)
    with pytest.raises(DeclinedError) as declined:
        backlog.take_token(other)
    assert declined.value.reason is Reason.MALFORMED
    os.close(other)
