"""Claims about kernel.netlink.transport, with a socket that answers from a script.

- what one read returned is cut into its messages, and a broken one is an error
- a sequence of messages is cut into sends that fit, in order, none lost
- a refusal is read with the kernel's sentence; success and objects are none
- only the kernel's answers to what was just asked count: not those of strangers, not leftovers
- only the last message of a send asks to be acknowledged, and a question not even then; a dump says when changes overtook it
"""

import errno
import struct
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.netlink import transport
from kernel.netlink.message import HEADER
from kernel.netlink.transport import NLM_F_ACK_TLVS, NLMSG_DONE, NLMSG_ERROR, Message, NetlinkError


def _message(kind: int, body: bytes, flags: int = 0, sequence: int = 1) -> bytes:
    return HEADER.pack(HEADER.size + len(body), kind, flags, sequence, 0) + body


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_joined_messages_are_cut_apart_again(bodies: list[bytes]) -> None:
    messages = [_message(16, body, sequence=n) for n, body in enumerate(bodies)]
    joined = b"".join(message + bytes(-len(message) % 4) for message in messages)
    assert [answer.data for answer in transport.split(joined)] == messages


@pytest.mark.parametrize("length", [0, 15, 17, 1 << 31])
def test_a_message_of_impossible_length_is_an_error(length: int) -> None:
    with pytest.raises(OSError, match="cut short"):
        list(transport.split(HEADER.pack(length, 16, 0, 1, 0)))


@given(st.lists(st.integers(16, transport.BATCH_BYTES), max_size=700))
def test_batches_fit_and_lose_nothing(sizes: list[int]) -> None:
    messages = [bytearray(size) for size in sizes]
    spans = list(transport._batches(messages))
    assert [n for start, end in spans for n in range(start, end)] == list(range(len(messages)))
    assert all(0 < end - start <= transport.BATCH_MESSAGES for start, end in spans)
    assert all(sum(sizes[start:end]) <= transport.BATCH_BYTES for start, end in spans)


def _error(number: int, sentence: bytes = b"") -> Message:
    body = struct.pack("=i", -number) + bytes(HEADER.size)
    if sentence:
        other = struct.pack("=HHI", 8, 2, 4)  # NLMSGERR_ATTR_OFFS stands before the sentence
        body += other + struct.pack("=HH", 4 + len(sentence), 1) + sentence
    data = _message(NLMSG_ERROR, body, NLM_F_ACK_TLVS if sentence else 0)
    return next(transport.split(data))


def test_a_refusal_carries_the_kernels_sentence() -> None:
    answer = _error(errno.ENETUNREACH, b"Nexthop has invalid gateway.\0")
    assert transport._refusal(answer) == NetlinkError(errno.ENETUNREACH, "Nexthop has invalid gateway")


def test_a_refusal_without_a_sentence_has_none() -> None:
    assert transport._refusal(_error(errno.EPERM)) == NetlinkError(errno.EPERM, "")


def test_a_sentence_that_never_ends_does_not_hang() -> None:
    data = _message(NLMSG_ERROR, struct.pack("=i", -1) + bytes(HEADER.size) + bytes(8), NLM_F_ACK_TLVS)
    assert transport._refusal(next(transport.split(data))) == NetlinkError(1, "")


@pytest.mark.parametrize("kind", [NLMSG_ERROR, NLMSG_DONE, 16])
def test_success_and_objects_are_no_refusal(kind: int) -> None:
    data = _message(kind, struct.pack("=i", 0) + bytes(HEADER.size))
    assert transport._refusal(next(transport.split(data))) is None


def test_a_dump_may_end_in_a_refusal() -> None:
    data = _message(NLMSG_DONE, struct.pack("=i", -errno.EINVAL))
    assert transport._refusal(next(transport.split(data))) == NetlinkError(errno.EINVAL, "")


class ScriptedSocket:
    """Answers each read with the next line of a script: (sender's port, datagram)."""

    def __init__(self, *script: tuple[int, bytes]) -> None:
        self.script = list(script)
        self.sent: list[bytes] = []

    def sendmsg(self, messages: Sequence[bytes]) -> None:
        self.sent += [bytes(message) for message in messages]

    def recvfrom(self, size: int) -> tuple[bytes, tuple[int, int]]:
        port, data = self.script.pop(0)
        assert len(data) <= size
        return data, (port, 0)


def _transport(socket: Any, sequence: int = 0) -> transport.Transport:
    ready = transport.Transport.__new__(transport.Transport)
    ready._socket, ready._sequence, ready.sent = socket, sequence, 0
    return ready


def _request() -> bytearray:
    return bytearray(_message(16, b"", flags=1, sequence=0))


def _ack(sequence: int, number: int = 0) -> bytes:
    return _message(NLMSG_ERROR, struct.pack("=i", -number) + bytes(HEADER.size), sequence=sequence)


def test_refusals_are_matched_by_sequence() -> None:
    socket = ScriptedSocket((0, _ack(2, errno.EEXIST)), (0, _ack(3)))
    assert _transport(socket).send([_request(), _request(), _request()]) == {1: NetlinkError(errno.EEXIST, "")}


def test_only_the_last_message_asks_to_be_acknowledged() -> None:
    socket = ScriptedSocket((0, _ack(3)))
    _transport(socket).send([_request(), _request(), _request()])
    headers = [HEADER.unpack(message) for message in socket.sent]
    assert [(flags, sequence) for _, _, flags, sequence, _ in headers] == [(1, 1), (1, 2), (5, 3)]


def test_objects_asked_for_come_with_the_refusals() -> None:
    socket = ScriptedSocket(
        (0, _ack(1, errno.EEXIST)), (0, _message(16, b"aaaa", sequence=3)), (0, _ack(4, errno.ENODEV))
    )
    said = _transport(socket).exchange([_request() for _ in range(4)], questions=2)
    assert said == {
        0: NetlinkError(errno.EEXIST, ""),
        2: Message(16, 0, 3, _message(16, b"aaaa", sequence=3)),
        3: NetlinkError(errno.ENODEV, ""),
    }


def test_a_question_at_the_end_of_a_send_needs_no_acknowledgement() -> None:
    socket = ScriptedSocket((0, _message(16, b"", sequence=2)))
    _transport(socket).exchange([_request(), _request()], questions=1)
    assert [HEADER.unpack(message)[2] for message in socket.sent] == [1, 1]


def test_strangers_and_leftovers_are_ignored() -> None:
    socket = ScriptedSocket((4711, _ack(8, errno.EPERM)), (0, _ack(7, errno.EPERM)), (0, _ack(8)))
    assert _transport(socket, sequence=7).send([_request()]) == {}


def test_sequence_numbers_start_over_before_they_run_out() -> None:
    socket = ScriptedSocket((0, _ack(1)))
    assert _transport(socket, sequence=0xFFFFFFFF).send([_request()]) == {}


@pytest.mark.parametrize(("flags", "consistent"), [(0, True), (transport.NLM_F_DUMP_INTR, False)])
def test_a_dump_says_when_changes_overtook_it(flags: int, *, consistent: bool) -> None:
    objects = _message(16, b"aaaa", flags=flags) + _message(16, b"bbbb")
    socket = ScriptedSocket((0, objects), (0, _message(NLMSG_DONE, bytes(4))))
    dump = _transport(socket).dump(_request())
    assert [answer.data[HEADER.size :] for answer in dump.answers] == [b"aaaa", b"bbbb"]
    assert (dump.consistent, dump.refusal) == (consistent, None)
