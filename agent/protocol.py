"""What launcher and worker say to each other: one datagram with its descriptors, then short answers (docs/agent.md).

Pure but for the sending and receiving. Must not judge who asks or what is asked.
"""

import array
import os
import socket
import struct
from dataclasses import dataclass
from enum import Enum

PATH = "/run/tulle/agent.sock"
MAGIC = b"tulle\0"
PROTOCOL = 2
HEADER = struct.Struct(f"<{len(MAGIC)}sH32sHHI")
"""Magic, protocol, build, umask, and how long argv[0] and the environment are that follow."""

ARGUMENT_BYTES = 4096
"""The longest argv[0]: PATH_MAX of linux/limits.h."""

INLINE_BYTES = 32 << 10
"""What a datagram takes of environment and stdin together, or of an answer; what is larger goes by memory files."""

UMASKS = 0o777
DATAGRAM_BYTES = HEADER.size + ARGUMENT_BYTES + INLINE_BYTES

TAKEN, ANSWERED, DECLINED = b"T", b"A", b"D"


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
    CLAIMS = "descriptors that are not the caller's"
    RIGHTS = "no CAP_NET_ADMIN and CAP_SYS_ADMIN"
    RELATIVE = "a relative CNI_NETNS"
    OWN = "CNI_NETNS under /proc/self"
    CROWDED = "no worker was free"


class DeclinedError(Exception):
    """Nothing was started; the launcher goes its own way."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Descriptors:
    """What the launcher hands over, in the order of the datagram; memory files of stdin and environ may follow."""

    token: int
    stderr: int
    net: int
    mnt: int
    user: int
    pid: int
    root: int
    cwd: int


COUNT = len(Descriptors.__slots__)
MOST = COUNT + 2
ROOM = socket.CMSG_SPACE((MOST + 1) * array.array("i").itemsize)
"""One more than there should be, so that a datagram with too many is seen to have them."""


@dataclass(frozen=True, slots=True)
class Message:
    """The datagram's text: which build sent it, under which umask and name; environment and stdin unless they come as files."""

    build: bytes
    argument: str
    umask: int = 0o022
    environ: bytes = b""
    stdin: bytes = b""

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
    """Tell whether the launcher has ended, perhaps killed by its runtime: it sends nothing after its one datagram."""
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
