"""Hears from the kernel which nftables tables somebody changed, so that nobody has to list them to find out.

nf_tables' own notifications (linux/netfilter/nf_tables.h), also for what iptables of the variant nf_tables does. Says only
where to look: events are lost when too many come at once. Blind spot: iptables of the variant legacy tells nobody.
"""

import struct

from kernel.frames import ATTRIBUTE, HEADER
from kernel.listener import Listener
from kernel.namespaces import Namespace
from kernel.transport import Answer

NETLINK_NETFILTER = 12
NFNLGRP_NFTABLES = 1 << (7 - 1)
SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES, the upper byte of a message's type
GENERATION = 15  # NFT_MSG_NEWGEN: ends every transaction and names no table
BODY = HEADER.size + 4
"""Behind struct nfgenmsg stand the attributes; in every kind of message number 1 is the table's name."""

ANY = ""
"""Stands for every table, when the kernel had to drop events."""


class NftEvents(Listener[str]):
    """Hears of changed tables, by name; ANY stands among them after a loss. Cannot be opened where the kernel has no nftables."""

    __slots__ = ()

    protocol = NETLINK_NETFILTER
    subject = "nftables"

    def __init__(self, namespace: Namespace | None = None) -> None:
        super().__init__(namespace, NFNLGRP_NFTABLES, (ANY,))

    def meaning(self, event: Answer) -> str | None:
        """Return the name of the table that a message is about."""
        return table_of(event)


def table_of(event: Answer) -> str | None:
    """Give the table a message is about; None when it is about none."""
    if event.kind >> 8 != SUBSYSTEM or event.kind & 0xFF == GENERATION or len(event.data) < BODY + ATTRIBUTE.size:
        return None
    length, kind = ATTRIBUTE.unpack_from(event.data, BODY)
    (name,) = struct.unpack_from(f"{max(0, length - ATTRIBUTE.size)}s", event.data, BODY + ATTRIBUTE.size)
    return name.rstrip(b"\0").decode(errors="replace") if kind & 0x3FFF == 1 else None
