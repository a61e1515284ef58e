"""The edge of every program: the only place that uses the process's streams, environment and exit code.

Importing must be cheap: nothing but cni.installed, cni.program, cni.versions, io and os. VERSION is answered here, in
the time that the interpreter needs to start; every other verb goes through cni.dispatch, which is imported only then.
"""

from __future__ import annotations

import io
import os

from cni import installed
from cni.versions import NEWEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn, Protocol

    from cni.dispatch import Source
    from cni.program import Program
    from cni.request import InProcess

    class Paper(Protocol):
        """What is written on; both may raise OSError, and ValueError once it is closed."""

        def write(self, text: str, /) -> object:
            """Take `text`."""

        def flush(self) -> object:
            """Let nothing wait."""


OWN_NETNS = "/proc/thread-self/ns/net"
"""The network namespace of the calling thread (proc_pid_ns(5)); a thread may sit in another one than its process."""


def main(program: Program, in_process: InProcess | None = None) -> NoReturn:
    """Serve the one request this process was started for, and end the process: 0 for success, 1 for a refusal.

    Delegates that `in_process` knows are served here as well, every other one by a process of its own.
    """
    stderr = _Stderr()
    try:
        _hold_descriptors()
        with (
            open(0, "rb", closefd=False) as stdin,
            open(1, "w", encoding="ascii", closefd=False) as stdout,
        ):
            environ = dict(os.environ)
            status = run(program, environ=environ, stdin=stdin, stdout=stdout, stderr=stderr, in_process=in_process)
            os._exit(
                status
            )  # what is not flushed by now cannot be; tearing the interpreter down takes longer than VERSION
    except Exception as failure:  # noqa: BLE001 - there is no stream yet to say it on
        stderr.write(f"{program.name}: {installed.message(failure)}\n")
        try:
            os.write(1, installed.document(failure).encode())
        finally:
            os._exit(1)


def run(  # noqa: PLR0913 - what a process is given, each named
    program: Program,
    *,
    environ: Mapping[str, str],
    stdin: Source,
    stdout: Paper,
    stderr: Paper,
    own_netns: str = OWN_NETNS,
    in_process: InProcess | None = None,
    is_wanted: Callable[[], bool] | None = None,
) -> int:
    """Serve one request over the streams handed in and return the exit code; nothing global is touched.

    `own_netns` is the path of the network namespace this runs in, `in_process` knows the programs that can run here
    too. `is_wanted` tells, when it is this request's turn, whether somebody still waits for the answer; what nobody
    waits for is not begun.

    stdout receives at most one JSON document, in ASCII, whatever happens (specification "Result Types"). An ADD whose
    result cannot be delivered is undone by its own DEL: a runtime that does not know the result does not know the
    container's network either.
    """

    def log(text: str) -> None:
        """Write a line to stderr; that nobody reads it is no reason to stop half-way."""
        try:
            stderr.write(f"{text}\n")
            stderr.flush()
        except (OSError, ValueError):
            return

    if environ.get("CNI_COMMAND") == "VERSION":
        return 0 if _delivered(version_document(program), stdout, log) else 1
    try:
        from cni import dispatch  # noqa: PLC0415 - VERSION must not pay for JSON and dataclasses

        kept = Kept(stdin)
        status, document = dispatch.answer(program, environ, kept, log, own_netns, in_process, is_wanted)
    except Exception as failure:  # noqa: BLE001 - what a verb raises is answered: this is a module that is not whole
        log(f"{program.name}: {installed.message(failure)}")
        _delivered(installed.document(failure), stdout, log)
        return 1
    if _delivered(document, stdout, log):
        return status
    if status == 0 and environ.get("CNI_COMMAND") == "ADD":
        undo = {**environ, "CNI_COMMAND": "DEL"}
        failed, said = dispatch.answer(program, undo, io.BytesIO(kept.data), log, own_netns, in_process)
        log(f"{program.name}: the ADD was {f'not undone: {said}' if failed else 'undone'}")
    return 1


class Kept:
    """A stream of bytes, and what was read of it so far in `data`."""

    __slots__ = ("_source", "data")

    def __init__(self, source: Source) -> None:
        self._source = source
        self.data = b""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""
        piece = self._source.read(size)
        self.data += piece
        return piece


def version_document(program: Program) -> str:
    """Return the answer to VERSION, which the launcher gives too; a version holds digits and dots, so it needs no escaping."""
    listed = ", ".join(f'"{version}"' for version in program.versions)
    return f'{{"cniVersion": "{NEWEST}", "supportedVersions": [{listed}]}}\n'


class _Stderr:
    """The stderr of system.stderr, imported when there is something to say."""

    _paper: Paper | None = None

    def write(self, text: str, /) -> None:
        """Write whole lines, or lose them."""
        if self._paper is None:
            try:
                from system.stderr import Stderr  # noqa: PLC0415 - see above
            except Exception:  # noqa: BLE001 - a module that cannot be had may fail in any way
                return
            self._paper = Stderr()
        self._paper.write(text)

    def flush(self) -> None:
        """Do nothing: nothing is kept."""


def _delivered(document: str, stdout: Paper, log: Callable[[str], None]) -> bool:
    """Print `document`; that it has no room or no reader is told on stderr with all of it, the last place left."""
    try:
        stdout.write(document)
        stdout.flush()
    except (OSError, ValueError) as gone:
        log(f"cannot deliver the answer: {gone}: {document.rstrip()}")
        return False
    return True


def _hold_descriptors() -> None:
    """Fill standard descriptors the caller left closed, lest a lock file or a socket become stdout."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it takes this number, the lowest that is free
