"""An agent that plays its part as badly as a test asks: it accepts one launcher, and a function of the test does the rest.

Nothing of the real agent is in it, so that the launcher is held to docs/agent.md and not to our other half.
"""

import array
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HEAD = struct.Struct("<6sH32sHHI")
NAMES = ("token",)
FILES = ("stdin", "environ")
INLINE = 32 * 1024
SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


@dataclass(frozen=True, slots=True)
class Meeting:
    """One launcher at the other end: what it sent, and the ways to treat it."""

    connection: socket.socket
    data: bytes
    descriptors: dict[str, int]

    @property
    def name(self) -> bytes:
        *_, length, _ = HEAD.unpack_from(self.data)
        return self.data[HEAD.size :][:length]

    @property
    def environ(self) -> bytes:
        return self._held("environ", self._body[: HEAD.unpack_from(self.data)[-1]])

    @property
    def stdin(self) -> bytes:
        return self._held("stdin", self._body[HEAD.unpack_from(self.data)[-1] :])

    @property
    def _body(self) -> bytes:
        return self.data[HEAD.size + len(self.name) :]

    def _held(self, name: str, inside: bytes) -> bytes:
        """Return what lies in a memory file, by position as a worker reads it; `inside` when all came in the datagram."""
        if name not in self.descriptors:
            return inside
        assert self._body == b""
        file = self.descriptors[name]
        assert fcntl.fcntl(file, fcntl.F_GET_SEALS) & SEALS == SEALS
        return os.pread(file, os.fstat(file).st_size, 0)

    def take(self) -> bool:
        """Take the token; False when the launcher was faster."""
        try:
            return os.read(self.descriptors["token"], 2) == b"t"
        except BlockingIOError:
            return False

    def say(self, words: bytes, *descriptors: int) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        self.connection.sendmsg([words], rights, socket.MSG_NOSIGNAL)

    def answer(self, document: bytes, status: int = 0) -> None:
        if len(document) <= INLINE:
            self.say(b"A" + bytes([status]) + document)
            return
        with sealed(document) as descriptor:
            self.say(b"A" + bytes([status]), descriptor)

    def wait_for_farewell(self) -> None:
        """Return when the launcher has gone, which is a reset when it left words of ours unread."""
        with suppress(ConnectionResetError):
            assert self.connection.recv(1) == b""


Part = Callable[[Meeting], None]


@contextmanager
def sealed(content: bytes) -> Iterator[int]:
    descriptor = os.memfd_create("answer", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(descriptor, content)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
        yield descriptor
    finally:
        os.close(descriptor)


def _meet(listening: socket.socket, part: Part) -> None:
    connection, _ = listening.accept()
    with connection:
        names = (*NAMES, *FILES)
        data, descriptors, _, _ = socket.recv_fds(connection, 2 * INLINE, len(names) + 1, socket.MSG_CMSG_CLOEXEC)
        try:
            assert len(descriptors) in (len(NAMES), len(names))
            part(Meeting(connection, data, dict(zip(names, descriptors, strict=False))))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


@contextmanager
def playing(part: Part, path: Path) -> Iterator[str]:
    """Serve one launcher at `path` by `part`; what goes wrong in it is raised when the context ends."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening, ThreadPoolExecutor(1) as thread:
        listening.bind(str(path))
        path.chmod(0o600)
        listening.listen()
        listening.settimeout(20)
        played = thread.submit(_meet, listening, part)
        yield str(path)
        played.result(20)
