"""Runs the few system programs that this package does not replace, such as nft and iptables.

They are searched in fixed places whatever PATH is (a CNI program may be started with an empty environment), and started
with a minimal environment inside the namespace meant.
"""

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from kernel.errors import KernelError
from kernel.netns import Namespace, inside

CHUNK = 1 << 16
PLACES = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin")
ENVIRONMENT = {"LC_ALL": "C", "PATH": ":".join(PLACES)}

IGNORED_BY_PYTHON = (13, 25)
"""SIGPIPE and SIGXFSZ (signal(7)): the interpreter ignores them; a program it starts would inherit that. `signal` costs a cold start 1 ms."""

ERRNO_BY_TEXT = (
    *(errno.ENOENT, errno.EEXIST, errno.EPERM, errno.EACCES, errno.EBUSY),
    *(errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EINVAL),
    *(errno.ENOMEM, errno.ENOBUFS, errno.ENOSPC, errno.ENFILE, errno.EMFILE, errno.EROFS, errno.EAGAIN, errno.EMLINK),
    *(errno.ENOPROTOOPT, errno.ELOOP, errno.ERANGE),
)
"""Errors recognised by their text: these programs report only 1 or 2 as exit code."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended: its exit code and what it printed."""

    code: int
    """The exit code; negative for a signal."""
    stdout: str
    """What it printed."""
    stderr: str
    """What it reported."""


def find(name: str, places: Sequence[str] = PLACES) -> str | None:
    """Return the absolute path of a system program; None when it is not installed."""
    for place in places:
        path = f"{place}/{name}"
        if os.path.isfile(path) and os.access(path, os.X_OK):  # noqa: PTH113 - pathlib costs a cold start 5 ms
            return path
    return None


def run(
    arguments: Sequence[str],
    stdin: str = "",
    namespace: Namespace | None = None,
    *,
    within: float = 0,
    meanwhile: Callable[[float], None] | None = None,
) -> Outcome:
    """Run a program to its end, a bare name looked up in PLACES; KernelError ENOPKG when it is not installed.

    With `within` it is killed after so many seconds, KernelError ETIMEDOUT; `meanwhile` is then told every second how
    many have passed. Its streams are unnamed memory files: nothing to poll, and nothing that waits for whom it leaves
    behind.
    """
    what = f"running {arguments[0]}"
    path = arguments[0] if arguments[0].startswith("/") else find(arguments[0])
    if path is None:
        raise KernelError(errno.ENOPKG, what)
    with ExitStack() as files:
        try:
            streams = [_stream(name, files) for name in ("stdin", "stdout", "stderr")]
            _fill(streams[0], stdin.encode(errors="surrogateescape"))
            with inside(namespace):
                child = _start([path, *arguments[1:]], streams)
            if within:
                _wait(child, within, meanwhile)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            listed, said = (_content(stream) for stream in streams[1:])
            # what is listed may be given back, byte for byte; what is said goes to people
            return Outcome(code, listed.decode(errors="surrogateescape"), said.decode(errors="replace"))
        except KernelError:
            raise
        except OSError as error:
            raise KernelError(error.errno or errno.EIO, what) from error


def _wait(child: int, within: float, meanwhile: Callable[[float], None] | None) -> None:
    """Wait until a child has ended, for so many seconds; then kill it and raise TimeoutError."""
    import select  # noqa: PLC0415 - only commands for people wait by the clock
    import time  # noqa: PLC0415 - as above

    began = time.monotonic()
    gone = os.pidfd_open(child)
    try:
        while (passed := time.monotonic() - began) < within:
            if select.select([gone], [], [], min(1.0, within - passed))[0]:
                return
            if meanwhile is not None:
                meanwhile(time.monotonic() - began)
    finally:
        os.close(gone)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise TimeoutError(errno.ETIMEDOUT, f"not ended after {within:g} s")


def _stream(name: str, files: ExitStack) -> int:
    descriptor = os.memfd_create(name)
    files.callback(os.close, descriptor)
    return descriptor


def _fill(stream: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(stream, rest) :]
    os.lseek(stream, 0, os.SEEK_SET)


def _start(words: list[str], streams: Sequence[int]) -> int:
    actions = [(os.POSIX_SPAWN_DUP2, stream, number) for number, stream in enumerate(streams)]
    return os.posix_spawn(words[0], words, ENVIRONMENT, file_actions=actions, setsigdef=IGNORED_BY_PYTHON)


def _content(stream: int) -> bytearray:
    content = bytearray()
    while chunk := os.pread(stream, CHUNK, len(content)):
        content += chunk
    return content


def error_from(outcome: Outcome, what: str) -> KernelError:
    """Make an error of what a program printed: its first line, and the errno that line ends with."""
    lines = [line.strip() for line in outcome.stderr.splitlines() if line.strip()]
    first = lines[0] if lines else f"exit code {outcome.code}"
    number = next((number for number in ERRNO_BY_TEXT if os.strerror(number) in outcome.stderr), errno.EIO)
    return KernelError(number, what, first)
