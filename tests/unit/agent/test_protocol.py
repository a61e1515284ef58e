"""Claims about the datagrams:

- what is composed is parsed, and the program is the last part of argv[0]
- another magic, another version, no argument, one too long or with a NUL, an impossible umask, lengths that lie, more than a
  datagram takes: malformed
- environment and stdin come in the datagram or by two more descriptors, never both
- descriptors of a datagram are received close-on-exec, also of one that was cut or has too many
- lines for stderr are told in pieces that a launcher takes, and nobody is waited for who takes none
- who repeats what was asked proves which process it is; who says anything else does not
- who has ended has hung up; an answer nobody hears is no error
"""

import array
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from agent import protocol
from agent.protocol import COUNT, INLINE_BYTES, MOST, PROVE, DeclinedError, Message, Reason

BUILD = bytes(range(32))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        yield near, far


@pytest.mark.parametrize(
    "message",
    [
        Message(BUILD, "/opt/cni/bin/bridge", 0o027, b"A=1\0B=2\0", b"{}"),
        Message(BUILD, "x"),
        Message(BUILD, "x" * protocol.ARGUMENT_BYTES, 0, b"y" * INLINE_BYTES),
        Message(BUILD, "x", 0o777, b"", b"y" * INLINE_BYTES),
        Message(BUILD, "b\udcff"),
    ],
    ids=["usual", "small", "large", "all stdin", "no UTF-8"],
)
def test_what_is_composed_is_parsed(message: Message) -> None:
    assert protocol.parse(protocol.compose(message)) == message


def test_the_bytes_are_those_of_the_documentation() -> None:
    data = protocol.compose(Message(b"\1" * 32, "static", 0o022, b"A=1\0", b"{}"))
    assert data == b"tulle\0\3\0" + b"\1" * 32 + b"\x12\0\6\0\4\0\0\0staticA=1\0{}"


@pytest.mark.parametrize(("argument", "program"), [("bridge", "bridge"), ("./a/b", "b"), ("/opt/", "")])
def test_the_program_is_the_last_part_of_the_name(argument: str, program: str) -> None:
    assert Message(BUILD, argument).program == program


GOOD = protocol.compose(Message(BUILD, "x"))
FULL = protocol.compose(Message(BUILD, "x", 0, b"A=1\0", b"{}"))


def lengths(name: int, block: int, umask: int = 0) -> bytes:
    return GOOD[:40] + struct.pack("<HHI", umask, name, block) + b"xyz"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD[:-1],
        b"T" + GOOD[1:],
        GOOD[:6] + b"\1\0" + GOOD[8:],
        lengths(0, 3),
        lengths(4, 0),
        lengths(1, 3),
        lengths(3, 0xFFFFFFFF),
        lengths(0xFFFF, 0),
        lengths(1, 1, 0o1000),
        protocol.compose(Message(BUILD, "x\0")),
        protocol.compose(Message(BUILD, "x" * (protocol.ARGUMENT_BYTES + 1))),
        protocol.compose(Message(BUILD, "x", 0, b"y", b"y" * INLINE_BYTES)),
    ],
)
def test_anything_else_is_malformed(data: bytes) -> None:
    with pytest.raises(DeclinedError) as declined:
        protocol.parse(data)
    assert declined.value.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("data", "count", "reason"),
    [
        (GOOD, COUNT, None),
        (GOOD, MOST, None),
        (FULL, COUNT, None),
        (FULL, MOST, Reason.MALFORMED),
        *((GOOD, count, Reason.MALFORMED) for count in (0, COUNT + 1, MOST + 1)),
        (protocol.compose(Message(b"?" * 32, "x")), COUNT, Reason.BUILD),
    ],
)
def test_a_whole_request_has_its_descriptors(data: bytes, count: int, reason: Reason | None) -> None:
    declined = pytest.raises(DeclinedError, match=reason.value) if reason else nullcontext()
    with declined:
        assert protocol.check(data, list(range(count)), BUILD) == protocol.parse(data)


@pytest.mark.parametrize("count", [0, COUNT, MOST, MOST + 1, MOST + 5])
def test_every_descriptor_that_came_is_known_and_close_on_exec(
    pair: tuple[socket.socket, socket.socket], count: int
) -> None:
    near, far = pair
    rights = array.array("i", [0] * count)
    near.sendmsg([GOOD], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if count else [])
    received: list[int] = []
    too_many = pytest.raises(DeclinedError) if count > MOST + 2 else nullcontext()
    with too_many:
        protocol.receive(far, received)
    for number in received:
        assert not os.get_inheritable(number)
        os.close(number)
    assert len(received) in (count, MOST + 1, MOST + 2)


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
    assert not protocol.answer(far, 0, b"")
    assert not protocol.answer_by_file(far, 0, 0)


def test_lines_are_told_in_pieces(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    protocol.tell(far, b"x" * INLINE_BYTES + b"y\n")
    protocol.tell(far, b"")
    assert [near.recv(1 << 17) for _ in range(2)] == [b"E\0" + b"x" * INLINE_BYTES, b"E\0y\n"]


def test_who_takes_no_lines_is_not_waited_for(pair: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(BlockingIOError):
        protocol.tell(pair[1], b"x" * INLINE_BYTES * 100)


def test_who_repeats_what_was_asked_proves_its_number(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    child = os.fork()
    if child == 0:
        near.send(near.recv(100))
        os._exit(0)
    assert protocol.prover(far) == child
    os.waitpid(child, 0)


def test_another_reply_is_no_proof(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    near.send(PROVE + b"?" * protocol.PROOF_BYTES)
    with pytest.raises(DeclinedError, match=r"malformed"):
        protocol.prover(far)
