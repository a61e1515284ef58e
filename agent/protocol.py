"""What launcher and worker send each other: one datagram, then short answers (docs/agent.md).

No descriptor of the caller is sent. A request that waits unread in a socket could otherwise keep the caller's stderr
open, or a namespace from being removed.
"""

import array
import os
import socket
import struct
from dataclasses import dataclass
from enum import Enum

PATH = "/run/tulle/agent.sock"
MAGIC = b"tulle\0"
PROTOCOL = 3
HEADER = struct.Struct(f"<{len(MAGIC)}sH32sHHI")
"""Magic, protocol, build, umask, and how long argv[0] and the environment are that follow."""

ARGUMENT_BYTES = 4096
"""The longest argv[0]: PATH_MAX of linux/limits.h."""

INLINE_BYTES = 32 << 10
"""What a datagram takes of environment and stdin together, or of an answer; what is larger goes by memory files."""

UMASKS = 0o777
DATAGRAM_BYTES = HEADER.size + ARGUMENT_BYTES + INLINE_BYTES

TAKEN, ANSWERED, DECLINED, LINES, PROVE = b"T", b"A", b"D", b"E\0", b"P\0"

PROOF_BYTES = 16
"""Chosen anew for each question, so that the reply to it was sent after it."""

SCM_CREDENTIALS = 2  # linux/socket.h
CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Reason(Enum):
    """Why a request is not served here; the launcher runs the cold program instead, and `status` counts them."""

    MALFORMED = "malformed request"
    BUILD = "another build"
    REPLACED = "the agent's files were replaced"
    PROGRAM = "unknown program"
    GONE = "the caller is gone"
    MOUNTS = "another mount namespace"
    USERS = "another user namespace"
    PROCESSES = "another pid namespace"
    ROOT = "another root directory"
    RIGHTS = "no CAP_NET_ADMIN and CAP_SYS_ADMIN"
    RELATIVE = "a relative CNI_NETNS"
    OWN = "CNI_NETNS under /proc/self"
    CROWDED = "no worker was free"


class DeclinedError(Exception):
    """Nothing was started; the launcher goes its own way."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


COUNT = 1
"""Descriptors of every request: the token."""

MOST = COUNT + 2
"""With the memory files of stdin and environ."""

ROOM = socket.CMSG_SPACE((MOST + 1) * array.array("i").itemsize)
"""One more than there should be, so that a datagram with too many is seen to have them."""


@dataclass(frozen=True, slots=True)
class Message:
    """The datagram's text: which build sent it, under which umask and name.

    Environment and stdin unless they come as files.
    """

    build: bytes
    """The id of the launcher's build."""
    argument: str
    """The name the launcher was called by."""
    umask: int = 0o022
    """The caller's umask."""
    environ: bytes = b""
    """The caller's environment, entries separated by null bytes."""
    stdin: bytes = b""
    """What the caller gave on stdin."""

    @property
    def program(self) -> str:
        """The program meant, as a multi-call executable would choose it."""
        return self.argument.rpartition("/")[2]


def parse(data: bytes) -> Message:
    """Return what the datagram says; DeclinedError for anything else."""
    if not HEADER.size < len(data) <= DATAGRAM_BYTES:
        raise DeclinedError(Reason.MALFORMED)
    magic, number, build, umask, name, block = HEADER.unpack_from(data)
    argument, stdin = HEADER.size + name, HEADER.size + name + block
    whole = 0 < name <= ARGUMENT_BYTES and stdin <= len(data) <= argument + INLINE_BYTES
    if (magic, number) != (MAGIC, PROTOCOL) or not whole or umask > UMASKS:
        raise DeclinedError(Reason.MALFORMED)
    if b"\0" in data[HEADER.size : argument]:
        raise DeclinedError(Reason.MALFORMED)
    return Message(build, os.fsdecode(data[HEADER.size : argument]), umask, data[argument:stdin], data[stdin:])


def check(data: bytes, received: list[int], build: bytes) -> Message:
    """Return what a whole request of `build` says; DeclinedError for any other."""
    message = parse(data)
    if message.build != build:
        raise DeclinedError(Reason.BUILD)
    by_files = len(received) == MOST and not (message.environ or message.stdin)
    if len(received) != COUNT and not by_files:
        raise DeclinedError(Reason.MALFORMED)
    return message


def compose(message: Message) -> bytes:
    """Return the datagram that `parse` reads."""
    argument = os.fsencode(message.argument)
    header = HEADER.pack(MAGIC, PROTOCOL, message.build, message.umask, len(argument), len(message.environ))
    return header + argument + message.environ + message.stdin


def receive(connection: socket.socket, received: list[int]) -> bytes:
    """Return one datagram and append its descriptors to `received`, whoever calls closes them.

    Raises DeclinedError when it was cut, OSError when none came.
    """
    data, ancillary, flags, _ = connection.recvmsg(DATAGRAM_BYTES + 1, ROOM, socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers = array.array("i")
            numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
            received.extend(numbers)
    if not data:
        raise DeclinedError(Reason.GONE)
    if flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC):
        raise DeclinedError(Reason.MALFORMED)
    return data


def decline(connection: socket.socket, reason: Reason) -> None:
    """Tell the launcher to go its own way; one that has gone already needs no telling."""
    _send(connection, DECLINED + reason.value.encode())


def take(connection: socket.socket) -> bool:
    """Tell the launcher that its request is ours now; False when nobody is there to hear it."""
    return _send(connection, TAKEN)


def tell(connection: socket.socket, lines: bytes) -> None:
    """Send what the program writes to stderr, for the launcher to write there.

    OSError when there is no room for it, or nobody.
    """
    for start in range(0, len(lines), INLINE_BYTES):
        connection.send(LINES + lines[start : start + INLINE_BYTES], socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)


def prover(connection: socket.socket) -> int:
    """Return the number of the process that is at the other end now: it has to repeat what nobody could know before.

    Raises DeclinedError for another reply, OSError for none.
    """
    question = PROVE + os.urandom(PROOF_BYTES)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    connection.send(question, socket.MSG_NOSIGNAL)
    data, ancillary, _, _ = connection.recvmsg(len(question) + 1, socket.CMSG_SPACE(CREDENTIALS.size))
    credentials = [content for _, kind, content in ancillary if kind == SCM_CREDENTIALS]
    if data != question or not credentials:
        raise DeclinedError(Reason.MALFORMED)
    return int(CREDENTIALS.unpack(credentials[0])[0])


def answer(connection: socket.socket, status: int, document: bytes) -> bool:
    """Send the exit status and the whole stdout; False when nobody is there any more."""
    return _send(connection, ANSWERED + bytes([status]) + document)


def answer_by_file(connection: socket.socket, status: int, document: int) -> bool:
    """Send the exit status and the file that holds stdout; False when nobody is there any more."""
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [document]))
    try:
        connection.sendmsg([ANSWERED + bytes([status])], [rights], socket.MSG_NOSIGNAL)
    except OSError:
        return False
    return True


def has_hung_up(connection: socket.socket) -> bool:
    """Return whether the launcher has ended, perhaps killed by its runtime: it has nothing more to say."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _send(connection: socket.socket, data: bytes) -> bool:
    try:
        connection.send(data, socket.MSG_NOSIGNAL)
    except OSError:
        return False
    return True
