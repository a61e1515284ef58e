"""The protobuf wire format, as far as etcd's API needs it: varint and bytes fields.

A message is a sequence of (field number, wire type, value). An absent field has its default, the last one counts when a
field comes twice, unknown fields are skipped.
"""

from collections.abc import Iterable, Iterator

Value = int | bytes
Field = tuple[int, Value]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT = 10
_SIGN, _WRAP = 1 << 63, 1 << 64


class WireError(ValueError):
    """Bytes that are no protobuf message."""


def encode(fields: Iterable[Field]) -> bytes:
    """Write fields in the order given; an int64 below zero takes ten bytes, as the encoding has it."""
    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            out += _varint(number << 3 | _VARINT) + _varint(value % _WRAP)
        else:
            out += _varint(number << 3 | _BYTES) + _varint(len(value)) + value
    return bytes(out)


def given(*fields: Field) -> bytes:
    """Write the fields that differ from the default, as every encoder does."""
    return encode(field for field in fields if field[1])


def decode(data: bytes) -> Iterator[Field]:
    """Yield the fields of a message, varints as int64; raises WireError where the bytes end too early or mean nothing."""
    at = 0
    while at < len(data):
        tag, at = _read(data, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise WireError("field number 0")
        if kind == _VARINT:
            value, at = _read(data, at)
            yield number, value - _WRAP if value & _SIGN else value
        elif kind == _BYTES:
            length, at = _read(data, at)
            yield number, _cut(data, at, length)
            at += length
        elif kind in _WIDTHS:
            at += len(_cut(data, at, _WIDTHS[kind]))
        else:
            raise WireError(f"wire type {kind}")


class Message:
    """One decoded message: its fields by number, each a list in the order they came."""

    def __init__(self, data: bytes) -> None:
        """Read `data`; raises WireError."""
        self._fields: dict[int, list[Value]] = {}
        for number, value in decode(data):
            self._fields.setdefault(number, []).append(value)

    def number(self, field: int) -> int:
        """Return an integer, 0 when absent; raises WireError for bytes there."""
        value = self._fields.get(field, [0])[-1]
        if isinstance(value, bytes):
            raise WireError(f"field {field} is not a number")
        return value

    def octets(self, field: int) -> bytes:
        """Return bytes, empty when absent; raises WireError for a number there."""
        every = self.every(field)
        return every[-1] if every else b""

    def every(self, field: int) -> list[bytes]:
        """Return all values of a repeated field of bytes or messages; raises WireError for a number among them."""
        found: list[bytes] = []
        for value in self._fields.get(field, []):
            if not isinstance(value, bytes):
                raise WireError(f"field {field} is a number")
            found.append(value)
        return found


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST_VARINT):
        if at + place >= len(data):
            raise WireError("ends inside a number")
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value % _WRAP, at + place + 1
    raise WireError("a number of more than ten bytes")


def _cut(data: bytes, at: int, length: int) -> bytes:
    if at + length > len(data):
        raise WireError("ends inside a field")
    return data[at : at + length]
