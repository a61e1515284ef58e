"""The messages of etcd's v3 API that a lease needs, to and from bytes.

Field numbers are those of the public API (packages etcdserverpb and mvccpb). Requests are functions that return bytes,
responses are frozen values with a `parse`.
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
    """What every response begins with: the state of the cluster."""

    cluster: int
    """The id of the cluster."""
    revision: int
    """The store's revision when the member answered."""
    term: int
    """The raft term, which grows with every election of a leader."""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a ResponseHeader."""
        message = Message(data)
        return cls(message.number(1), message.number(3), message.number(4))


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One key in etcd."""

    key: bytes
    """The key."""
    value: bytes
    """The value."""
    created: int
    """The revision in which the key was created."""
    modified: int
    """The revision in which it was last written."""
    lease: int
    """The id of the lease it is attached to; 0 for a key that never expires."""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a KeyValue."""
        message = Message(data)
        return cls(message.octets(1), message.octets(5), message.number(2), message.number(3), message.number(6))


@dataclass(frozen=True, slots=True)
class RangeResponse:
    """The response to `get`."""

    header: Header
    """The state of the cluster."""
    entries: tuple[KeyValue, ...]
    """The keys that were found, in key order."""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a RangeResponse."""
        message = Message(data)
        return cls(Header.parse(message.octets(1)), tuple(map(KeyValue.parse, message.every(2))))


@dataclass(frozen=True, slots=True)
class TxnResponse:
    """The response to `put_if` and `delete_if`."""

    header: Header
    """The state of the cluster after the transaction."""
    done: bool
    """Whether the conditions held, and the change was made."""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a TxnResponse."""
        message = Message(data)
        return cls(Header.parse(message.octets(1)), bool(message.number(2)))


@dataclass(frozen=True, slots=True)
class LeaseGrantResponse:
    """The response to `grant`."""

    lease: int
    """The id of the new lease."""
    seconds: int
    """The time it lives without renewal."""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a LeaseGrantResponse."""
        message = Message(data)
        return cls(message.number(2), message.number(3))


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a watch: a key was written or deleted."""

    gone: bool
    """Whether the key was deleted or has expired."""
    entry: KeyValue
    """The key; with its value only when it was written."""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read an Event."""
        message = Message(data)
        return cls(message.number(1) == _DELETE, KeyValue.parse(message.octets(2)))


@dataclass(frozen=True, slots=True)
class WatchResponse:
    """One response of a watch."""

    header: Header
    """The state of the cluster."""
    created: bool
    """Whether this is the first response, which has no events."""
    canceled: bool
    """Whether the member has ended the watch."""
    compacted: int
    """The oldest revision there is, when the one asked for is older; else 0."""
    reason: str
    """Why the watch was ended."""
    changes: tuple[Event, ...]
    """The events, in the order of their revisions."""

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
"""A condition of a transaction, encoded."""


def get(key: bytes, end: bytes = b"") -> bytes:
    """Return the request for one key, or for all keys from `key` up to, and without, `end`."""
    return given((1, key), (2, end))


def absent(key: bytes, end: bytes = b"") -> Condition:
    """Return the condition that a key, or every key of a range, does not exist: its version is 0."""
    return encode([(1, _EQUAL), (2, _VERSION), (3, key), (4, 0), *([(64, end)] if end else [])])


def unmodified(key: bytes, revision: int) -> Condition:
    """Return the condition that a key was last written in `revision`."""
    return encode([(1, _EQUAL), (2, _MOD), (3, key), (6, revision)])


def put_if(conditions: Sequence[Condition], key: bytes, value: bytes, lease: int) -> bytes:
    """Return the transaction that writes a key, attached to a lease (0: none), if all conditions hold."""
    put = encode([(2, given((1, key), (2, value), (3, lease)))])
    return encode([*((1, condition) for condition in conditions), (2, put)])


def delete_if(conditions: Sequence[Condition], key: bytes) -> bytes:
    """Return the transaction that deletes a key if all conditions hold."""
    delete = encode([(3, given((1, key)))])
    return encode([*((1, condition) for condition in conditions), (2, delete)])


def grant(seconds: int) -> bytes:
    """Return the request for a lease whose id the server chooses."""
    return given((1, seconds))


def revoke(lease: int) -> bytes:
    """Return the request that ends a lease and deletes the keys attached to it."""
    return given((1, lease))


def authenticate(name: str, password: str) -> bytes:
    """Return the request for a token."""
    return given((1, name.encode()), (2, password.encode()))


def token(data: bytes) -> str:
    """Read the token of an AuthenticateResponse."""
    return Message(data).octets(2).decode("ascii", "replace")


def watch(key: bytes, end: bytes, revision: int) -> bytes:
    """Return the request for every change of a range from `revision` on, and for progress responses in between."""
    return encode([(1, encode([(1, key), (2, end), (3, revision), (4, 1)]))])


def ask_progress() -> bytes:
    """Return the request for a progress response, which shows that the watch still works."""
    return encode([(3, b"")])
