"""Asks a warm agent as the launcher does, and says word for word what came back; tests bend single pieces of it.

Speaks docs/agent.md's protocol from the caller's side. Must not fall back to a cold program: that is the launcher's business.
"""

import array
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent import protocol, serving
from agent.protocol import Message

PATIENCE = 60.0


@dataclass(frozen=True)
class Reply:
    """What an agent did: `taken`, then `status` and `stdout`, or the `reason` it declined for; all empty when it hung up.

    `stderr` is what it had the launcher write there.
    """

    taken: bool = False
    status: int | None = None
    stdout: bytes = b""
    reason: str = ""
    stderr: bytes = b""


@dataclass(frozen=True)
class Question:
    """One request; `withdrawn` takes the token back before it is sent, `instead` replaces descriptors by number.

    `by_files` sends stdin and environment as memory files, `dropped` leaves out as many descriptors, `root` is where this
    process changes its root directory to before it asks.
    """

    program: str
    environ: Mapping[str, str]
    stdin: bytes = b""
    withdrawn: bool = False
    instead: Mapping[int, int] = field(default_factory=dict)
    by_files: bool = False
    dropped: int = 0
    root: str = ""


def ask(agent: Path, build: bytes, question: Question) -> Reply:
    """Send `question` and return the reply; OSError when nobody listens.

    Once more where this process was held up between connecting and sending: a worker waits for 200 ms, a launcher would go cold.
    """
    try:
        return _asked(agent, build, question)
    except BrokenPipeError:
        return _asked(agent, build, question)


def _asked(agent: Path, build: bytes, question: Question) -> Reply:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.settimeout(PATIENCE)
        if question.root:  # the working directory stays outside, so the socket is found there
            os.chdir(agent.parent)
            os.chroot(question.root)
            agent = Path(agent.name)
        door.connect(str(agent))
        try:
            send(door, build, question)
        except BrokenPipeError:  # who may not ask at all is told so before he has asked
            if not (told := _reply(door)).reason:
                raise
            return told
        return _reply(door)


def send(door: socket.socket, build: bytes, question: Question) -> None:
    """Send the one datagram of a request."""
    message = Message(build, question.program, own_umask())
    if not question.by_files:
        message = replace(message, environ=block(question.environ), stdin=question.stdin)
    with descriptors(question) as numbers:
        sent = [question.instead.get(place, number) for place, number in enumerate(numbers)]
        rights = array.array("i", sent[: len(sent) - question.dropped])
        door.sendmsg([protocol.compose(message)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


@contextmanager
def descriptors(question: Question) -> Iterator[Sequence[int]]:
    """Open what goes with a request, in the order of the protocol."""
    with ExitStack() as opened:

        def keep(number: int) -> int:
            opened.callback(os.close, number)
            return number

        token, filler = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        keep(token)
        os.write(filler, b"" if question.withdrawn else b"!")
        os.close(filler)
        held = (question.stdin, block(question.environ)) if question.by_files else ()
        files = [keep(serving.sealed("held", content)) for content in held]
        yield [token, *files]


def own_umask() -> int:
    """Return the umask of this process, which has no other thread."""
    umask = os.umask(0)
    os.umask(umask)
    return umask


def block(environ: Mapping[str, str]) -> bytes:
    """Return an environment as the launcher sends it: every string with its NUL."""
    return b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in environ.items())


def _reply(door: socket.socket) -> Reply:
    """Read datagrams until the last one that can come, and do as the launcher does meanwhile."""
    taken, lines = False, b""
    while True:
        try:
            data, files, _, _ = socket.recv_fds(door, protocol.DATAGRAM_BYTES, 1)
        except ConnectionResetError:
            continue  # told once, when our own datagram was left unread; what was said comes after it
        if data == protocol.TAKEN:
            taken = True
        elif data.startswith(protocol.LINES):
            lines += data.removeprefix(protocol.LINES)
        elif data.startswith(protocol.PROVE):
            door.send(data)
        elif data[:1] == protocol.DECLINED:
            return Reply(taken, reason=data[1:].decode(), stderr=lines)
        elif data[:1] == protocol.ANSWERED:
            if not files:
                return Reply(taken, data[1], data[2:], stderr=lines)
            with os.fdopen(files[0], "rb") as document:
                return Reply(taken, data[1], document.read(), stderr=lines)
        else:
            return Reply(taken, stderr=lines)


def main() -> None:
    """Ask for host-local with this process's own environment and stdin: AGENT BUILD [ROOT]."""
    agent, build, *root = sys.argv[1:]
    question = Question("host-local", dict(os.environ), sys.stdin.buffer.read(), root="".join(root))
    reply = ask(Path(agent), bytes.fromhex(build), question)
    print(f"declined: {reply.reason}" if reply.reason else f"answered: {reply.status}")


if __name__ == "__main__":
    main()
