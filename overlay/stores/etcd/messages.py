"""The few messages of etcd's v3 API that a lease needs, to and from bytes.

Field numbers are the API's public ones (packages etcdserverpb and mvccpb). Requests are functions that give bytes,
answers are frozen values with a `parse`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from overlay.stores.etcd.protobuf import Message, encode, given

_EQUAL = 0
_VERSION, _MOD = 0, 2
_DELETE = 1


@dataclass(frozen=True, slots=True)
class Header:
    """What every answer begins with: which cluster, its revision, and its term of raft."""

    cluster: int
    revision: int
    term: int

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a ResponseHeader."""
        message = Message(data)
        return cls(message.number(1), message.number(3), message.number(4))


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One key as etcd has it; `lease` is 0 for one that never ends."""

    key: bytes
    value: bytes
    created: int
    modified: int
    lease: int

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a KeyValue."""
        message = Message(data)
        return cls(message.octets(1), message.octets(5), message.number(2), message.number(3), message.number(6))


@dataclass(frozen=True, slots=True)
class RangeResponse:
    """Answer to `get`."""

    header: Header
    entries: tuple[KeyValue, ...]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a RangeResponse."""
        message = Message(data)
        return cls(Header.parse(message.octets(1)), tuple(map(KeyValue.parse, message.every(2))))


@dataclass(frozen=True, slots=True)
class TxnResponse:
    """Answer to `put_if` and `delete_if`: whether the condition held, and the revision then."""

    header: Header
    done: bool

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a TxnResponse."""
        message = Message(data)
        return cls(Header.parse(message.octets(1)), bool(message.number(2)))


@dataclass(frozen=True, slots=True)
class LeaseGrantResponse:
    """Answer to `grant`: the new lease and its seconds."""

    lease: int
    seconds: int

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a LeaseGrantResponse."""
        message = Message(data)
        return cls(message.number(2), message.number(3))


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a watch: a key written, or gone."""

    gone: bool
    entry: KeyValue

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read an Event."""
        message = Message(data)
        return cls(message.number(1) == _DELETE, KeyValue.parse(message.octets(2)))


@dataclass(frozen=True, slots=True)
class WatchResponse:
    """One answer of a watch; `compacted` is not 0 when the revision asked for is gone."""

    header: Header
    created: bool
    canceled: bool
    compacted: int
    reason: str
    changes: tuple[Event, ...]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a WatchResponse."""
        message = Message(data)
        return cls(
            Header.parse(message.octets(1)),
            created=bool(message.number(3)),
            canceled=bool(message.number(4)),
            compacted=message.number(5),
            reason=message.octets(6).decode(errors="replace"),
            changes=tuple(map(Event.parse, message.every(11))),
        )


Condition = bytes
"""What a transaction depends on, encoded."""


def get(key: bytes, end: bytes = b"") -> bytes:
    """Ask for one key, or for all from `key` up to and without `end`."""
    return given((1, key), (2, end))


def absent(key: bytes, end: bytes = b"") -> Condition:
    """Say that a key, or every key of a range, does not exist: its version is 0."""
    return encode([(1, _EQUAL), (2, _VERSION), (3, key), (4, 0), *([(64, end)] if end else [])])


def unmodified(key: bytes, revision: int) -> Condition:
    """Say that a key was last written at `revision`."""
    return encode([(1, _EQUAL), (2, _MOD), (3, key), (6, revision)])


def put_if(conditions: Sequence[Condition], key: bytes, value: bytes, lease: int) -> bytes:
    """Write a key under a lease (0: for ever) if all conditions hold."""
    put = encode([(2, given((1, key), (2, value), (3, lease)))])
    return encode([*((1, condition) for condition in conditions), (2, put)])


def delete_if(conditions: Sequence[Condition], key: bytes) -> bytes:
    """Delete a key if all conditions hold."""
    delete = encode([(3, given((1, key)))])
    return encode([*((1, condition) for condition in conditions), (2, delete)])


def grant(seconds: int) -> bytes:
    """Ask for a lease whose number the server chooses."""
    return given((1, seconds))


def revoke(lease: int) -> bytes:
    """End a lease and delete what hangs on it."""
    return given((1, lease))


def authenticate(name: str, password: str) -> bytes:
    """Ask for a token."""
    return given((1, name.encode()), (2, password.encode()))


def token(data: bytes) -> str:
    """Read the token of an AuthenticateResponse."""
    return Message(data).octets(2).decode("ascii", "replace")


def watch(key: bytes, end: bytes, revision: int) -> bytes:
    """Ask for every change of a range from `revision` on, and for word about progress while there is none."""
    return encode([(1, encode([(1, key), (2, end), (3, revision), (4, 1)]))])


def ask_progress() -> bytes:
    """Ask a watch for a sign of life."""
    return encode([(3, b"")])
