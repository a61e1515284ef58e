"""Owns a table of nftables, so that no other program can change or delete it, not even by `nft flush ruleset`.

A table belongs to the netlink socket that claimed it (NFT_TABLE_F_OWNER, linux/netfilter/nf_tables.h). With
NFT_TABLE_F_PERSIST, since Linux 6.9, it stays when the socket is closed, without an owner, and can be claimed again.
Older kernels would delete it, so there no table is owned. Other programs can still list it. The owner must release the
table before a program such as nft changes it, because that has a socket of its own.
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
    sock = _open(namespace)
    with sock:
        return _said(sock, family, table, PERSIST) == 0


class TableOwner:
    """A hold on one table, from `hold` to `release` or the end of the process; it may never come to be."""

    def __init__(self, family: str, table: str, namespace: Namespace | None = None) -> None:
        self._family, self._table, self._namespace = family, table, namespace
        self._sock: socket.socket | None = None

    def hold(self) -> bool:
        """Claim the table, or create an empty one; return whether this process owns it.

        It does not when another process owns it, when it was not made by `make`, or when the kernel is older.
        """
        if self._sock is not None:
            return True
        sock = _open(self._namespace)
        if _said(sock, self._family, self._table, OWNER | PERSIST) != 0:
            sock.close()
            return False
        self._sock = sock
        return True

    def release(self) -> None:
        """Release the table, which stays as it is; a second call does nothing."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def _open(namespace: Namespace | None) -> socket.socket:
    sock = open_socket(namespace, protocol=NETLINK_NETFILTER)
    sock.settimeout(SECONDS)
    return sock


def _said(sock: socket.socket, family: str, table: str, flags: int) -> int:
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
        sock.send(batch)
        for answer in split(sock.recv(1 << 16)):
            if answer.kind == NLMSG_ERROR:
                return -int(ERROR.unpack_from(answer.data, HEADER.size)[0])
    except OSError as problem:
        raise KernelError(problem.errno or errno.EIO, f"holding nftables table {family} {table}") from problem
    return errno.EIO


def _attribute(kind: int, content: bytes) -> bytes:
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(content), kind) + content + bytes(-len(content) % 4)
