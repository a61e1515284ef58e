"""The parts of all netlink messages: a header, a fixed body, and attributes that may contain attributes (netlink(7)).

They are written and read byte for byte, because a general message class takes some hundred microseconds per message and
these lines a few. A value that does not fit is a ValueError.
"""

import struct

NLM_F_REQUEST = 0x1
NLM_F_DUMP = 0x300
REPLACE, EXCL, CREATE, APPEND = 0x100, 0x200, 0x400, 0x800

HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
KIND = 0x3FFF
"""The bits of an attribute's type that are not flags."""

U8, U16, U32 = struct.Struct("=B"), struct.Struct("=H"), struct.Struct("=I")

Attributes = dict[int, bytes]


def message(kind: int, flags: int, *parts: bytes) -> bytearray:
    """Return a request of the given RTM_ number with sequence number 0; `parts` are its body and attributes, aligned."""
    length = HEADER.size + sum(map(len, parts))
    return bytearray(b"".join((HEADER.pack(length, kind, NLM_F_REQUEST | flags, 0, 0), *parts)))


def pack(layout: struct.Struct, *values: int) -> bytes:
    """Return the bytes of a body or a number."""
    try:
        return layout.pack(*values)
    except struct.error as error:
        raise ValueError(f"it does not fit a netlink message: {error}") from error


def attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute, padded to the 4 bytes netlink aligns to."""
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def number(kind: int, value: int) -> bytes:
    """Return an attribute that holds 32 bits."""
    return attribute(kind, pack(U32, value))


def octet(kind: int, value: int) -> bytes:
    """Return an attribute that holds 8 bits."""
    return attribute(kind, pack(U8, value))


def text(kind: int, value: str) -> bytes:
    """Return an attribute that holds a string and the null byte after it."""
    return attribute(kind, value.encode() + b"\0")


def attributes(data: bytes, offset: int = 0) -> Attributes:
    """Return kind -> value of the attributes from `offset` to the end; ValueError or struct.error when one is cut short."""
    return dict(attribute_list(data, offset))


def attribute_list(data: bytes, offset: int = 0) -> list[tuple[int, bytes]]:
    """Return each attribute as (kind, value), for where a kind repeats. Raises what `attributes` raises."""
    found = []
    end, head, unpack = len(data), ATTRIBUTE.size, ATTRIBUTE.unpack_from  # names of this function are quicker
    while offset < end:
        length, kind = unpack(data, offset)
        if length < head or length > end - offset:
            raise ValueError("attribute cut short")
        found.append((kind & KIND, data[offset + head : offset + length]))
        offset += (length + 3) & ~3
    return found
