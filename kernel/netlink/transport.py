"""One blocking netlink socket: many requests in one send, each answer matched by its sequence number.

The kernel carries a whole sendmsg out before it returns, so a batch is never cut in half when the sender is killed. It
answers each refused request without being asked. Only the last message of a batch asks for an acknowledgement (unless
it is a question, which is answered anyway): when that answer is there, all others have been carried out or refused.
"""

import errno
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kernel.errors import KernelError
from kernel.netlink.message import ATTRIBUTE, HEADER
from kernel.netns import Namespace, inside

# linux/netlink.h
SOL_NETLINK = 270
NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK = 10, 11, 12
NLMSG_ERROR, NLMSG_DONE, NLMSG_MIN_TYPE = 2, 3, 16
NLM_F_ACK, NLM_F_DUMP_INTR, NLM_F_ACK_TLVS = 0x4, 0x10, 0x200
NLMSGERR_ATTR_MSG = 1
SO_RCVBUFFORCE = 33  # asm-generic/socket.h

FLAGS = struct.Struct("=H")
SEQUENCE = struct.Struct("=I")
ERROR = struct.Struct("=i")
FLAGS_OFFSET, SEQUENCE_OFFSET = 6, 8
HIGHEST_SEQUENCE = 0xFFFFFFFF

RECEIVE_BUFFER = 4 << 20
"""Bytes; room for the refusals of a whole batch, and for bursts of events."""

READ_BYTES = 1 << 16
"""The kernel fills at most 32 KiB of a dump at once."""

BATCH_BYTES = 48 << 10
"""A send has to fit the socket's send buffer (212,992 bytes by default, of which half is the kernel's overhead)."""

BATCH_MESSAGES = 256
"""Each may be refused, and each refusal takes about 1 KiB of a receive buffer that may have stayed small."""


@dataclass(frozen=True, slots=True)
class NetlinkError:
    """A refusal of the kernel."""

    number: int
    """The errno."""
    reason: str
    """The kernel's message; empty without one."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the kernel."""

    kind: int
    """The type in the header, like RTM_NEWLINK."""
    flags: int
    """The flags in the header, NLM_F_."""
    sequence: int
    """The number of the request it answers."""
    data: bytes
    """The whole message, header included."""


@dataclass(frozen=True, slots=True)
class Dump:
    """All answers to one question.

    If something changed while the kernel answered, an object may be missing or come twice (docs/reference/cni.md 8.9).
    """

    answers: tuple[Message, ...]
    """The messages, one per object."""
    refusal: NetlinkError | None
    """The error that ended the dump early; None for none."""
    consistent: bool
    """Whether nothing changed while the kernel answered."""


def open_socket(namespace: Namespace | None, groups: int = 0, protocol: int = socket.NETLINK_ROUTE) -> socket.socket:
    """Open a netlink socket, a routing one by default, in a namespace (None: where we are), listening to multicast `groups`.

    The socket stays of that namespace whatever the process does later. Raises KernelError.
    """
    with inside(namespace):
        try:
            sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        except OSError as error:
            raise KernelError(error.errno or errno.EIO, "opening a netlink socket") from error
    try:
        _prepare(sock, groups)
    except OSError as error:
        sock.close()
        raise KernelError(error.errno or errno.EIO, "preparing a netlink socket") from error
    return sock


def _prepare(sock: socket.socket, groups: int) -> None:
    for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK):
        sock.setsockopt(SOL_NETLINK, option, 1)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except PermissionError:  # not root of the namespace: reading is allowed all the same, within net.core.rmem_max
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    if groups:
        sock.bind((0, groups))  # else the first send does it


class Transport:
    """Sends requests and collects what the kernel says of them; OSError (ENOBUFS, ...) when the socket itself fails."""

    __slots__ = ("_sequence", "_socket", "sent")

    def __init__(self, namespace: Namespace | None, protocol: int = socket.NETLINK_ROUTE) -> None:
        self._socket = open_socket(namespace, protocol=protocol)
        self.sent = 0
        self._sequence = 0

    def close(self) -> None:
        """Close the socket; twice is fine."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self._socket.fileno()

    def send(self, messages: Sequence[bytearray]) -> dict[int, NetlinkError]:
        """Have all messages carried out in order, also those after a refused one; return the refusals by position."""
        said = self.exchange(messages)
        return {position: word for position, word in said.items() if isinstance(word, NetlinkError)}

    def exchange(self, messages: Sequence[bytearray], questions: int = 0) -> dict[int, Message | NetlinkError]:
        """Have all messages worked off in order, also those after a refused one; the last `questions` ask for one object each.

        Return by position what the kernel said to them: its refusals, and the objects.
        """
        said: dict[int, Message | NetlinkError] = {}
        for start, end in _batches(messages):
            said |= self._send_batch(messages[start:end], start, asks=end > len(messages) - questions)
        return said

    def _send_batch(self, batch: Sequence[bytearray], start: int, *, asks: bool) -> dict[int, Message | NetlinkError]:
        """Send messages of which the last one `asks`, so is answered anyhow, or does not."""
        first = self._number(batch)
        if not asks:
            (flags,) = FLAGS.unpack_from(batch[-1], FLAGS_OFFSET)
            FLAGS.pack_into(batch[-1], FLAGS_OFFSET, flags | NLM_F_ACK)
        self._socket.sendmsg(batch)
        said: dict[int, Message | NetlinkError] = {}
        for answer in self._answers(first, self._sequence):
            word = answer if answer.kind >= NLMSG_MIN_TYPE else _refusal(answer)
            if word is not None:
                said[start + answer.sequence - first] = word
            if answer.sequence == self._sequence:
                break
        return said

    def transact(self, messages: Sequence[bytearray]) -> dict[int, NetlinkError]:
        """Send a transaction of nfnetlink, its first and last message framing it, and return what was refused by position.

        The last but one asks for an answer; a refusal of the frame itself is the only answer there is.
        """
        first = self._number(messages)
        last = len(messages) - 2
        (flags,) = FLAGS.unpack_from(messages[last], FLAGS_OFFSET)
        FLAGS.pack_into(messages[last], FLAGS_OFFSET, flags | NLM_F_ACK)
        self._socket.sendmsg(messages)
        said: dict[int, NetlinkError] = {}
        # the kernel checks all messages before it commits any, so a refusal may come for each of them
        for answer in self._answers(first, self._sequence):
            place = answer.sequence - first
            refusal = _refusal(answer)
            if refusal is not None:
                said[place] = refusal
            if place == last or (place == 0 and refusal is not None):
                return said
        return said

    def ask(self, message: bytearray) -> Message | NetlinkError:
        """Ask for one object and return it, or the refusal."""
        return self.exchange([message], questions=1)[0]

    def dump(self, message: bytearray) -> Dump:
        """Ask for all objects and return them."""
        first = self._number([message])
        self._socket.sendmsg([message])
        found: list[Message] = []
        consistent = True
        answers = self._answers(first, first)
        while (answer := next(answers)).kind not in {NLMSG_DONE, NLMSG_ERROR}:
            consistent = consistent and not answer.flags & NLM_F_DUMP_INTR
            found.append(answer)
        return Dump(tuple(found), _refusal(answer), consistent and not answer.flags & NLM_F_DUMP_INTR)

    def _number(self, batch: Sequence[bytearray]) -> int:
        """Write the next sequence numbers into the messages and return the first of them."""
        if self._sequence + len(batch) > HIGHEST_SEQUENCE:
            self._sequence = 0
        first = self._sequence + 1
        for sequence, message in enumerate(batch, first):
            SEQUENCE.pack_into(message, SEQUENCE_OFFSET, sequence)
        self._sequence += len(batch)
        self.sent += len(batch)
        return first

    def _answers(self, first: int, last: int) -> Iterator[Message]:
        """Yield the kernel's messages to what was just sent; leftovers of an earlier, broken-off exchange are dropped."""
        while True:
            data, (port, _) = self._socket.recvfrom(READ_BYTES)
            if port != 0:
                continue  # from another process: anybody may send to a netlink socket
            for answer in split(data):
                if first <= answer.sequence <= last:
                    yield answer


def split(data: bytes) -> Iterator[Message]:
    """Cut what one read returned into its messages (netlink aligns them to 4 bytes)."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
        if not HEADER.size <= length <= len(data) - offset:
            raise OSError(errno.EBADMSG, "netlink message cut short")
        yield Message(kind, flags, sequence, data[offset : offset + length])
        offset += (length + 3) & ~3


def _batches(messages: Sequence[bytearray]) -> Iterator[tuple[int, int]]:
    """Cut a sequence into spans that fit one send, never splitting a message."""
    start = size = 0
    for position, message in enumerate(messages):
        if position > start and (size + len(message) > BATCH_BYTES or position - start >= BATCH_MESSAGES):
            yield start, position
            start, size = position, 0
        size += len(message)
    if messages:
        yield start, len(messages)


def _refusal(answer: Message) -> NetlinkError | None:
    """Read struct nlmsgerr, or the errno a dump ended with; None for success or an object."""
    if answer.kind not in {NLMSG_ERROR, NLMSG_DONE} or len(answer.data) < HEADER.size + ERROR.size:
        return None
    (number,) = ERROR.unpack_from(answer.data, HEADER.size)
    if number >= 0:
        return None
    body = HEADER.size + ERROR.size + (HEADER.size if answer.kind == NLMSG_ERROR else 0)
    return NetlinkError(-number, _sentence(answer.data, body) if answer.flags & NLM_F_ACK_TLVS else "")


def _sentence(data: bytes, offset: int) -> str:
    """Find the kernel's own words among the attributes of an extended acknowledgement."""
    while offset + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        if kind & 0x3FFF == NLMSGERR_ATTR_MSG:
            return data[offset + ATTRIBUTE.size : offset + length].rstrip(b"\0").decode(errors="replace").rstrip(".")
        offset += max((length + 3) & ~3, ATTRIBUTE.size)
    return ""
