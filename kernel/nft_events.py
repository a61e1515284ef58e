"""Hears from the kernel which nftables tables somebody changed, so that nobody has to list them to find out.

nf_tables' own notifications (linux/netfilter/nf_tables.h), also for what iptables of the variant nf_tables does. Says only
where to look: events are lost when too many come at once. Blind spot: iptables of the variant legacy tells nobody.
"""

import errno
import struct
from typing import Self

from kernel.errors import KernelError
from kernel.namespaces import Namespace
from kernel.transport import ATTRIBUTE, HEADER, READ_BYTES, Answer, open_socket, split

NETLINK_NETFILTER = 12
NFNLGRP_NFTABLES = 1 << (7 - 1)
SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES, the upper byte of a message's type
GENERATION = 15  # NFT_MSG_NEWGEN: ends every transaction and names no table
BODY = HEADER.size + 4
"""Behind struct nfgenmsg stand the attributes; in every kind of message number 1 is the table's name."""

ANY = ""
"""Stands for every table, when the kernel had to drop events."""


class NftEvents:
    """A netlink socket that hears of changed tables; made for loop.add_reader, read when it is readable.

    Raises KernelError when it cannot be opened, as where the kernel has no nftables.
    """

    __slots__ = ("_socket",)

    def __init__(self, namespace: Namespace | None = None) -> None:
        self._socket = open_socket(namespace, NFNLGRP_NFTABLES, NETLINK_NETFILTER)
        self._socket.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; twice is fine."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    def read(self) -> frozenset[str]:
        """Return the names of the tables changed since the last read, at once; ANY among them after a loss."""
        seen: set[str] = set()
        while True:
            try:
                data, (port, _) = self._socket.recvfrom(READ_BYTES)
                if port == 0:
                    seen |= {name for event in split(data) if (name := table_of(event)) is not None}
            except BlockingIOError:
                return frozenset(seen)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise KernelError(error.errno or errno.EIO, "reading nftables events") from error
                seen.add(ANY)


def table_of(event: Answer) -> str | None:
    """Give the table a message is about; None when it is about none."""
    if event.kind >> 8 != SUBSYSTEM or event.kind & 0xFF == GENERATION or len(event.data) < BODY + ATTRIBUTE.size:
        return None
    length, kind = ATTRIBUTE.unpack_from(event.data, BODY)
    (name,) = struct.unpack_from(f"{max(0, length - ATTRIBUTE.size)}s", event.data, BODY + ATTRIBUTE.size)
    return name.rstrip(b"\0").decode(errors="replace") if kind & 0x3FFF == 1 else None
