"""Claims about the datagrams:

- what is composed is parsed, and the program is the last part of argv[0]
- another magic, another version, no argument, one too long or with a NUL is malformed
- descriptors of a datagram are received close-on-exec, also of one that was cut or has too many
- who has ended has hung up; an answer nobody hears is no error
"""

import array
import os
import socket
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from agent import protocol
from agent.protocol import COUNT, DeclinedError, Head, Reason

BUILD = bytes(range(32))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        yield near, far


def test_what_is_composed_is_parsed() -> None:
    assert protocol.parse(protocol.compose(BUILD, "/opt/cni/bin/bridge")) == Head(BUILD, "/opt/cni/bin/bridge")


@pytest.mark.parametrize(("argument", "program"), [("bridge", "bridge"), ("./a/b", "b"), ("/opt/", "")])
def test_the_program_is_the_last_part_of_the_name(argument: str, program: str) -> None:
    assert Head(BUILD, argument).program == program


GOOD = protocol.compose(BUILD, "x")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD[:-1],
        b"T" + GOOD[1:],
        GOOD[:6] + b"\2\0" + GOOD[8:],
        GOOD + b"\0",
        GOOD + b"y" * protocol.ARGUMENT_BYTES,
    ],
)
def test_anything_else_is_malformed(data: bytes) -> None:
    with pytest.raises(DeclinedError) as declined:
        protocol.parse(data)
    assert declined.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("count", [0, COUNT, COUNT + 1, COUNT + 5])
def test_every_descriptor_that_came_is_known_and_close_on_exec(
    pair: tuple[socket.socket, socket.socket], count: int
) -> None:
    near, far = pair
    rights = array.array("i", [0] * count)
    near.sendmsg([GOOD], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if count else [])
    received: list[int] = []
    too_many = pytest.raises(DeclinedError) if count > COUNT + 2 else nullcontext()
    with too_many:
        protocol.receive(far, received)
    for number in received:
        assert not os.get_inheritable(number)
        os.close(number)
    assert len(received) in (count, COUNT + 1, COUNT + 2)


def test_a_caller_that_hangs_up_is_gone(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    near.close()
    with pytest.raises(DeclinedError) as declined:
        protocol.receive(far, [])
    assert declined.value.reason is Reason.GONE


def test_who_waits_has_not_hung_up(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    assert not protocol.has_hung_up(far)
    near.close()
    assert protocol.has_hung_up(far)


def test_an_answer_nobody_hears_is_no_error(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    near.close()
    protocol.decline(far, Reason.BUILD)
    assert not protocol.take(far)
    assert not protocol.answer(far, 0, 0)
