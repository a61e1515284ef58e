"""Tells which nftables tables have changed, from the kernel's notifications (linux/netfilter/nf_tables.h).

Changes by iptables' nf_tables variant are among them; those by the legacy variant are not. An event says only where to
look: the kernel drops events when too many come at once.
"""

from kernel.netlink.listener import Listener
from kernel.netlink.message import ATTRIBUTE, HEADER
from kernel.netlink.transport import Message
from kernel.netns import Namespace

NETLINK_NETFILTER = 12
NFNLGRP_NFTABLES = 1 << (7 - 1)
SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES, the upper byte of a message's type
GENERATION = 15  # NFT_MSG_NEWGEN: ends every transaction and names no table
DELETED_TABLE, DELETED_RULE = 2, 8  # NFT_MSG_DELTABLE, NFT_MSG_DELRULE
BRIDGE = 7  # NFPROTO_BRIDGE, the first byte of struct nfgenmsg
BODY = HEADER.size + 4
"""Behind struct nfgenmsg stand the attributes."""
TABLE, CHAIN = 1, 2
"""In every kind of message number 1 is the table's name; in those about rules 2 is the chain's (NFTA_RULE_CHAIN)."""
ENTRANCES = frozenset({"PREROUTING", "FORWARD", "OUTPUT", "prerouting", "forward", "output"})
"""Where the kernel hands packets to the chains of programs that publish ports or filter for containers."""

ANY = ""
"""Stands for every table, when the kernel had to drop events."""


class NftEvents(Listener[str]):
    """Hears of changed tables, by name; ANY stands among them after a loss. Cannot be opened where the kernel has no nftables."""

    __slots__ = ()

    protocol = NETLINK_NETFILTER
    subject = "nftables"

    def __init__(self, namespace: Namespace | None = None) -> None:
        super().__init__(namespace, NFNLGRP_NFTABLES, (ANY,))

    def meaning(self, event: Message) -> str | None:
        """Return the name of the table that a message is about."""
        return table_of(event)


class NftLosses(NftEvents):
    """Hears of tables that somebody removed, and of rules that somebody took out of a chain of ENTRANCES; by the table's name.

    That is what a flush does, in both tools, and what attaching and detaching a container does not: whose rules come
    and go in chains of their own, behind POSTROUTING, and on bridges.
    """

    __slots__ = ()

    def meaning(self, event: Message) -> str | None:
        """Return the name of the table that lost something."""
        kind = event.kind & 0xFF
        entrance = kind == DELETED_RULE and name_of(event, CHAIN) in ENTRANCES and event.data[HEADER.size] != BRIDGE
        return table_of(event) if kind == DELETED_TABLE or entrance else None


def table_of(event: Message) -> str | None:
    """Return the table a message is about; None when it is about none."""
    return name_of(event, TABLE)


def name_of(event: Message, attribute: int) -> str | None:
    """Return the name in one of a message's first two attributes, TABLE or CHAIN; None when it has none there."""
    if event.kind >> 8 != SUBSYSTEM or event.kind & 0xFF == GENERATION:
        return None
    at = BODY
    for _ in (TABLE, CHAIN):
        if len(event.data) < at + ATTRIBUTE.size:
            return None
        length, kind = ATTRIBUTE.unpack_from(event.data, at)
        if kind & 0x3FFF == attribute:
            return event.data[at + ATTRIBUTE.size : at + length].rstrip(b"\0").decode(errors="replace")
        at += max(ATTRIBUTE.size, length + 3 & ~3)
    return None
