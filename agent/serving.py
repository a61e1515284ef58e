"""Serves one accepted request exactly as the cold program would: the same entry point, in the caller's surroundings.

It runs in the caller's network namespace and working directory, and with its umask. Whether to serve is decided before.
"""

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, fcntl

from agent.pristine import UMASK
from cni import skel
from cni.in_process import InProcessPrograms
from cni.program import Program
from kernel import netns
from kernel.netns import Namespace

SEALS = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request that may be served: `cwd` is the caller's, so is `umask`; `net` is None when it is ours.

    `tell` takes stderr's bytes.
    """

    program: Program
    """The program to run."""
    environ: Mapping[str, str]
    """The caller's environment."""
    stdin: bytes
    """What the caller gave on stdin."""
    net: Namespace | None
    """The caller's network namespace; None if it is ours."""
    cwd: int
    """The descriptor of the caller's working directory."""
    tell: Callable[[bytes], None]
    """Writes to the caller's stderr."""
    umask: int
    """The caller's umask."""


class Stderr:
    """The caller's stderr, which its launcher writes to: most requests write nothing."""

    __slots__ = ("_tell",)

    def __init__(self, tell: Callable[[bytes], None]) -> None:
        self._tell = tell

    def write(self, text: str) -> None:
        """Send `text` now; OSError when nobody takes it."""
        self._tell(text.encode("utf-8", "backslashreplace"))

    def flush(self) -> None:
        """Do nothing: nothing is kept."""


def serve(
    wanted: Wanted, in_process: InProcessPrograms, is_wanted: Callable[[], bool], answer: Callable[[int, bytes], object]
) -> None:
    """Run one request and `answer` with its exit status and what goes to stdout, before going home: the caller waits for it.

    A request that is not wanted any more when its turn comes is not begun: the runtime's DEL may have been served
    already.
    """
    printed = io.StringIO()
    with _at_the_callers(wanted):
        status = skel.run(
            wanted.program,
            environ=wanted.environ,
            stdin=io.BytesIO(wanted.stdin),
            stdout=printed,
            stderr=Stderr(wanted.tell),
            in_process=in_process,
            is_wanted=is_wanted,
        )
        answer(status, printed.getvalue().encode("ascii"))


def sealed(name: str, content: bytes) -> int:
    """Return a new memory file that holds `content` and cannot be changed by anybody."""
    file = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.lseek(file, 0, os.SEEK_SET)
        fcntl(file, F_ADD_SEALS, SEALS)
    except OSError:
        os.close(file)
        raise
    return file


@contextmanager
def _at_the_callers(wanted: Wanted) -> Iterator[None]:
    with netns.inside(wanted.net):
        os.fchdir(wanted.cwd)
        os.umask(wanted.umask)
        try:
            yield
        finally:
            os.chdir("/")
            os.umask(UMASK)
