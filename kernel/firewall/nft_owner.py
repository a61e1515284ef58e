"""Holds a table of nftables so that nobody else can flush, change or delete it, not even `nft flush ruleset`, while we live.

A table belongs to the netlink socket that took it (NFT_TABLE_F_OWNER, linux/netfilter/nf_tables.h). With NFT_TABLE_F_PERSIST, since Linux 6.9,
it stays when the socket is closed, belongs to nobody and can be taken again; older kernels would delete it then, so there nothing is held.
Others still list it. Who holds it has to let go before it is changed by a program, which has a socket of its own.
"""

import errno
import socket
import struct

from kernel.errors import KernelError
from kernel.firewall.nft import FAMILIES, NETLINK_NETFILTER, NFGENMSG, NFTA_TABLE_NAME, NLM_F_REQUEST
from kernel.netlink.message import HEADER
from kernel.netlink.transport import ERROR, NLMSG_ERROR, open_socket, split
from kernel.netns import Namespace

NLM_F_ACK, NLM_F_CREATE = 0x4, 0x400
BATCH_BEGIN, BATCH_END = 16, 17  # NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END, linux/netfilter/nfnetlink.h
NFT_MSG_NEWTABLE = 10 << 8
NFTA_TABLE_FLAGS = 2
OWNER, PERSIST = 0x2, 0x4
ATTRIBUTE = struct.Struct("=HH")
SECONDS = 5.0
"""How long the kernel may take for an answer; it has it when the message is sent."""


def make(family: str, table: str, namespace: Namespace | None = None) -> bool:
    """Make a table that can be held, unless there is one; return whether there is one of this kind now."""
    door = _open(namespace)
    with door:
        return _said(door, family, table, PERSIST) == 0


class TableOwner:
    """A hold on one table, from `hold` to `release` or the end of the process; it may never come to be."""

    def __init__(self, family: str, table: str, namespace: Namespace | None = None) -> None:
        self._family, self._table, self._namespace = family, table, namespace
        self._door: socket.socket | None = None

    def hold(self) -> bool:
        """Take the table, or an empty one where there is none; return whether it is ours.

        Not where it is another's, is one that `make` did not make, or the kernel is older.
        """
        if self._door is not None:
            return True
        door = _open(self._namespace)
        if _said(door, self._family, self._table, OWNER | PERSIST) != 0:
            door.close()
            return False
        self._door = door
        return True

    def release(self) -> None:
        """Let go; the table stays as it is. Twice is fine."""
        if self._door is not None:
            self._door.close()
            self._door = None


def _open(namespace: Namespace | None) -> socket.socket:
    door = open_socket(namespace, protocol=NETLINK_NETFILTER)
    door.settimeout(SECONDS)
    return door


def _said(door: socket.socket, family: str, table: str, flags: int) -> int:
    """Add a table with these flags, or give an existing one them; return the kernel's error number, 0 for none."""
    ends = NFGENMSG.pack(0, 0, socket.htons(10))
    named = _attribute(NFTA_TABLE_NAME, table.encode() + b"\0") + _attribute(NFTA_TABLE_FLAGS, struct.pack("!I", flags))
    body = NFGENMSG.pack(FAMILIES[family], 0, 0) + named
    asked = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE
    messages = (BATCH_BEGIN, NLM_F_REQUEST, ends), (NFT_MSG_NEWTABLE, asked, body), (BATCH_END, NLM_F_REQUEST, ends)
    batch = b"".join(
        HEADER.pack(HEADER.size + len(content), kind, flag, number, 0) + content
        for number, (kind, flag, content) in enumerate(messages, start=1)
    )
    try:
        door.send(batch)
        for answer in split(door.recv(1 << 16)):
            if answer.kind == NLMSG_ERROR:
                return -int(ERROR.unpack_from(answer.data, HEADER.size)[0])
    except OSError as problem:
        raise KernelError(problem.errno or errno.EIO, f"holding nftables table {family} {table}") from problem
    return errno.EIO


def _attribute(kind: int, content: bytes) -> bytes:
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(content), kind) + content + bytes(-len(content) % 4)
