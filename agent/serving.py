"""Serves one taken request exactly as the cold program would: the same entry point, over the caller's own descriptors.

Runs in the caller's network namespace and working directory, and with its umask. Must not decide whether to serve.
"""

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, fcntl
from typing import TextIO

from agent.home import UMASK
from agent.protocol import Descriptors
from cni import skel
from cni.program import Program
from cni.siblings import Siblings
from kernel import namespaces
from kernel.namespaces import Namespace

SEALS = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request that may be served: `umask` is the caller's."""

    program: Program
    environ: Mapping[str, str]
    stdin: bytes
    sent: Descriptors
    umask: int


def serve(wanted: Wanted, siblings: Siblings, is_wanted: Callable[[], bool]) -> tuple[int, bytes]:
    """Run one request; return the exit status and what goes to stdout.

    A request that is not wanted any more when its turn comes is not begun: the runtime's DEL may have been served already.
    """
    printed = io.BytesIO()
    stdout = io.TextIOWrapper(printed, "ascii", write_through=True)
    with _at_the_callers(wanted), _stderr(wanted.sent.stderr) as stderr:
        status = skel.run(
            wanted.program,
            environ=wanted.environ,
            stdin=io.BytesIO(wanted.stdin),
            stdout=stdout,
            stderr=stderr,
            siblings=siblings,
            is_wanted=is_wanted,
        )
    return status, printed.getvalue()


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
    with namespaces.inside(Namespace(wanted.sent.net, "of the caller")):
        os.fchdir(wanted.sent.cwd)
        os.umask(wanted.umask)
        try:
            yield
        finally:
            os.chdir("/")
            os.umask(UMASK)


@contextmanager
def _stderr(descriptor: int) -> Iterator[TextIO]:
    """Open the caller's stderr; that its reader has gone away is no reason to fail."""
    with open(descriptor, "w", encoding="utf-8", errors="backslashreplace", closefd=False) as file:
        yield file
