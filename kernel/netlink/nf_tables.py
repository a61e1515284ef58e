"""Writes nf_tables' own messages and sends them as transactions, without starting nft (linux/netfilter/nf_tables.h).

It is for what every container needs: set elements, and the tables that hold the sets. A rule is a row of expressions,
each a few bytes. Numbers are big endian; names and values are as in the kernel.
"""

import errno
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from kernel.deferred import DeferredDelete
from kernel.errors import KernelError
from kernel.netlink.message import ATTRIBUTE, CREATE, EXCL, HEADER, NLM_F_DUMP, attribute, attributes, message, text
from kernel.netlink.transport import Message as Answer
from kernel.netlink.transport import NetlinkError, Transport
from kernel.netns import Namespace, own_identity

NETLINK_NETFILTER = 12
SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
BATCH_BEGIN, BATCH_END = 16, 17
NLM_F_ACK, NLM_F_APPEND = 0x4, 0x800
FLAGS_OFFSET = 6

NEW_TABLE, DEL_TABLE, NEW_CHAIN, NEW_RULE, GET_RULE, NEW_SET, NEW_ELEMENT, GET_ELEMENT, DEL_ELEMENT = (
    0,
    2,
    3,
    6,
    7,
    9,
    12,
    13,
    14,
)
NFGENMSG = struct.Struct("=BBH")
BRIDGE = 7  # NFPROTO_BRIDGE
BE32, HOST32 = struct.Struct(">I"), struct.Struct("=I")
NESTED = 0x8000
COMMENT = 0  # NFTNL_UDATA_SET_ELEM_COMMENT
COMMENT_BYTES = 250
"""What fits a comment's one byte of length and the kernel's 256 bytes of user data."""

NOTHING = frozenset({errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP, errno.EAFNOSUPPORT})
"""Answers to a question that mean there is none; EINVAL and the last two where the kernel has no nf_tables at all."""

DROP, ACCEPT, JUMP, GOTO = 0, 1, -3, -4
EQUAL, DIFFERENT = 0, 1

Message = bytearray
Expression = bytes


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the family bridge."""

    name: str
    """The name of the table."""

    def _write(self, kind: int, flags: int, *parts: bytes) -> Message:
        return message(SUBSYSTEM << 8 | kind, flags, NFGENMSG.pack(BRIDGE, 0, 0), text(1, self.name), *parts)

    def create(self) -> Message:
        """Make the table; refused with EEXIST where it is."""
        return self._write(NEW_TABLE, CREATE | EXCL, _be32(2, 0))

    def delete(self) -> Message:
        """Take the table with all that is in it."""
        return self._write(DEL_TABLE, 0)

    def chain(self, name: str, hook: tuple[int, int] | None = None) -> Message:
        """Make a chain; `hook` is the hook's number and the priority of one that packets enter by, which lets what it does not judge pass."""
        if hook is None:
            return self._write(NEW_CHAIN, CREATE, text(3, name))
        place = _be32(1, hook[0]) + attribute(2, struct.pack(">i", hook[1]))
        return self._write(NEW_CHAIN, CREATE, text(3, name), _nest(4, place), _be32(5, ACCEPT), text(7, "filter"))

    def set(self, name: str, number: int, kinds: Sequence[int], length: int, note: bytes = b"") -> Message:
        """Make a set of keys of `length` bytes, which nft is to show as of the data types `kinds`; `number` is its own in a transaction.

        `note` is nft's own writing of the types, where these do not say enough.
        """
        shown = 0
        for kind in kinds:
            shown = shown << 6 | kind
        order = struct.pack(
            "=BBI", 0, 4, 2 if len(kinds) > 1 else 1
        )  # NFTNL_UDATA_SET_KEYBYTEORDER: big endian, or the host's
        parts = (
            text(2, name),
            _be32(3, 0),
            _be32(4, shown),
            _be32(5, length),
            _be32(10, number),
            attribute(13, note or order),
        )
        return self._write(NEW_SET, CREATE, *parts)

    def rule(self, chain: str, *expressions: Expression) -> Message:
        """Append a rule to a chain."""
        listed = b"".join(_nest(1, each) for each in expressions)
        return self._write(NEW_RULE, CREATE | NLM_F_APPEND, text(2, chain), _nest(4, listed))

    def get_rule(self, chain: str, handle: int) -> Message:
        """Ask for one rule by the number the kernel gave it."""
        return self._write(GET_RULE, 0, text(2, chain), attribute(3, struct.pack(">Q", handle)))

    def get_rules(self) -> Message:
        """Ask for all rules of the table."""
        return self._write(GET_RULE, NLM_F_DUMP)

    def add(self, into: str, key: bytes, comment: str = "") -> Message:
        """Put an element into a set; one that is there stays."""
        return self._write(NEW_ELEMENT, CREATE, *_element(into, key, comment))

    def remove(self, out_of: str, key: bytes) -> Message:
        """Take an element out of a set; refused with ENOENT when it is not there."""
        return self._write(DEL_ELEMENT, 0, *_element(out_of, key))

    def get(self, from_set: str, key: bytes) -> Message:
        """Ask for one element."""
        return self._write(GET_ELEMENT, 0, *_element(from_set, key))

    def get_all(self, from_set: str) -> Message:
        """Ask for all elements of a set."""
        return self._write(GET_ELEMENT, NLM_F_DUMP, text(2, from_set))


@dataclass(frozen=True, slots=True)
class Element:
    """A set's element: its key, and the comment it was given."""

    key: bytes
    """The key, as bytes."""
    comment: str
    """The comment; empty for none."""


def elements(data: bytes) -> tuple[Element, ...]:
    """Read a whole NFT_MSG_NEWSETELEM message; ValueError or struct.error for one that is cut short."""
    told = attributes(data, HEADER.size + NFGENMSG.size)
    found = []
    for each in _listed(told.get(3, b"")):
        parts = attributes(each)
        key = attributes(parts.get(1, b"")).get(1, b"")
        found.append(Element(key, _comment(parts.get(6, b""))))
    return tuple(found)


_kept: dict[tuple[int, int], Transport] = {}


def keep() -> None:
    """Open a socket in the namespace we are in and keep it for all Tables of it, as long as this process lives; none where that fails."""
    with suppress(KernelError):
        _kept[own_identity()] = Transport(None, NETLINK_NETFILTER)


class Tables:
    """The tables of one network namespace (None: where we are) through one socket; not for two threads at once. Raises KernelError.

    Closing such a socket waits for what was deleted to be out of use, 15 ms and more in which nobody else can change a
    table: who serves many requests keeps one open, otherwise that is left to a thread.
    """

    __slots__ = ("_passing", "_transport")

    def __init__(self, namespace: Namespace | None = None) -> None:
        identity = own_identity() if namespace is None else namespace.identity
        self._passing = identity not in _kept
        self._transport = Transport(namespace, NETLINK_NETFILTER) if self._passing else _kept[identity]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._passing:
            DeferredDelete(self._transport.close, self._transport.fileno())

    def commit(self, what: str, *messages: Message) -> None:
        """Carry all of it out at once, or none; KernelError with the first refusal, `what` being the whole in words."""
        refused = self.refusals(what, messages)
        if refused:
            place = min(refused)
            raise KernelError(refused[place].number, what, refused[place].reason)

    def refusals(self, what: str, messages: Sequence[Message]) -> dict[int, NetlinkError]:
        """Try to carry all of it out at once, and return what was refused by position; if anything was, nothing is done."""
        begin, end = (message(kind, 0, NFGENMSG.pack(0, 0, SUBSYSTEM << 8)) for kind in (BATCH_BEGIN, BATCH_END))
        try:
            said = self._transport.transact([begin, *messages, end])
        except OSError as error:
            raise KernelError(error.errno or errno.EIO, what) from error
        return {max(0, place - 1): refusal for place, refusal in said.items()}

    def holds(self, what: str, question: Message) -> bool:
        """Ask for one object and return whether it is there."""
        answer = self._ask(what, question)
        if isinstance(answer, NetlinkError) and answer.number not in NOTHING:
            raise KernelError(answer.number, what, answer.reason)
        return isinstance(answer, Answer)

    def all(self, what: str, question: Message) -> tuple[bytes, ...]:
        """Ask for all objects and return the messages that tell of them; none where there is no such table or set."""
        try:
            dump = self._transport.dump(question)
        except OSError as error:
            raise KernelError(error.errno or errno.EIO, what) from error
        if dump.refusal is not None and dump.refusal.number not in NOTHING:
            raise KernelError(dump.refusal.number, what, dump.refusal.reason)
        return tuple(answer.data for answer in dump.answers)

    def _ask(self, what: str, question: Message) -> Answer | NetlinkError:
        try:
            return self._transport.ask(question)
        except OSError as error:
            raise KernelError(error.errno or errno.EIO, what) from error


def meta(key: int, register: int) -> Expression:
    """Load what is known of the packet (NFT_META_) into a register of four bytes and those after it."""
    return _expression("meta", _be32(1, register), _be32(2, key))


def payload(base: int, offset: int, length: int, register: int) -> Expression:
    """Load bytes of the link, network or transport header (base 0, 1, 2); a packet without them is not this rule's."""
    return _expression("payload", _be32(1, register), _be32(2, base), _be32(3, offset), _be32(4, length))


def extension(header: int, offset: int, length: int, register: int) -> Expression:
    """Load bytes of an IPv6 extension header; a packet without it is not this rule's."""
    return _expression("exthdr", _be32(1, register), attribute(2, bytes([header])), _be32(3, offset), _be32(4, length))


def masked(register: int, mask: bytes) -> Expression:
    """Keep the bits of `mask` of what a register holds."""
    values = _nest(4, attribute(1, mask)) + _nest(5, attribute(1, bytes(len(mask))))
    return _expression("bitwise", _be32(1, register), _be32(2, register), _be32(3, len(mask)), values)


def compare(register: int, value: bytes, how: int = EQUAL) -> Expression:
    """Go on with the rule only when a register holds `value`, or something DIFFERENT."""
    return _expression("cmp", _be32(1, register), _be32(2, how), _nest(3, attribute(1, value)))


def lookup(name: str, register: int, *, absent: bool = False) -> Expression:
    """Go on with the rule only when what begins in the register is in the set, or is `absent` from it."""
    return _expression("lookup", text(1, name), _be32(2, register), _be32(5, 1 if absent else 0))


def verdict(code: int, chain: str = "") -> Expression:
    """End the rule with DROP, ACCEPT, or JUMP or GOTO to a chain."""
    told = attribute(1, struct.pack(">i", code)) + (text(2, chain) if chain else b"")
    return _expression("immediate", _be32(1, 0), _nest(2, _nest(2, told)))


def _expression(name: str, *data: bytes) -> Expression:
    return text(1, name) + _nest(2, b"".join(data))


def _element(name: str, key: bytes, comment: str = "") -> tuple[bytes, bytes]:
    said = comment.encode()[:COMMENT_BYTES] + b"\0"
    note = attribute(6, bytes([COMMENT, len(said)]) + said) if comment else b""
    return text(2, name), _nest(3, _nest(1, _nest(1, attribute(1, key)) + note))


def _comment(data: bytes) -> str:
    while len(data) >= 2:
        kind, length = data[0], data[1]
        if kind == COMMENT:
            return data[2 : 2 + length].rstrip(b"\0").decode(errors="replace")
        data = data[2 + length :]
    return ""


def _listed(data: bytes) -> list[bytes]:
    """Return the values of attributes that may be of one kind."""
    found, offset = [], 0
    while offset + ATTRIBUTE.size <= len(data):
        length, _ = ATTRIBUTE.unpack_from(data, offset)
        if length < ATTRIBUTE.size:
            raise ValueError("attribute cut short")
        found.append(data[offset + ATTRIBUTE.size : offset + length])
        offset += (length + 3) & ~3
    return found


def _nest(kind: int, inner: bytes) -> bytes:
    return attribute(kind | NESTED, inner)


def _be32(kind: int, value: int) -> bytes:
    return attribute(kind, BE32.pack(value))
