"""The edge of every program: the only place that touches the process's streams, environment and exit code.

Import budget: nothing beyond cni.program, cni.versions and os. VERSION is answered from here and has to cost no more than starting
the interpreter; every other verb goes through cni.dispatch, imported on its way. Must not know any verb.
"""

from __future__ import annotations

import os

from cni.versions import NEWEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO, NoReturn, Protocol

    from cni.program import Program
    from cni.siblings import Siblings

    class Paper(Protocol):
        """What is written on; both may raise OSError, and ValueError once it is closed."""

        def write(self, text: str, /) -> object:
            """Take `text`."""

        def flush(self) -> object:
            """Let nothing wait."""


OWN_NETNS = "/proc/thread-self/ns/net"
"""The network namespace of the calling thread (proc_pid_ns(5)); a thread may sit in another one than its process."""


def main(program: Program, siblings: Siblings | None = None) -> NoReturn:
    """Serve the one request this process was started for, and end the process: 0 for success, 1 for a refusal.

    Delegates among `siblings` are served here as well, every other one by a process of its own.
    """
    _hold_descriptors()
    with (
        open(0, "rb", closefd=False) as stdin,
        open(1, "w", encoding="ascii", closefd=False) as stdout,
        open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False) as stderr,
    ):
        status = run(program, environ=dict(os.environ), stdin=stdin, stdout=stdout, stderr=stderr, siblings=siblings)
        os._exit(status)  # what is not flushed by now cannot be; tearing the interpreter down takes longer than VERSION


def run(  # noqa: PLR0913 - what a process is given, each named
    program: Program,
    *,
    environ: Mapping[str, str],
    stdin: BinaryIO,
    stdout: Paper,
    stderr: Paper,
    own_netns: str = OWN_NETNS,
    siblings: Siblings | None = None,
    is_wanted: Callable[[], bool] | None = None,
) -> int:
    """Serve one request over the streams handed in and return the exit code; nothing global is touched.

    `own_netns` is the path of the network namespace this runs in, `siblings` are the programs that can run here too.
    `is_wanted` tells, when it is this request's turn, whether somebody still waits for the answer; what nobody waits for is not begun.

    stdout receives at most one JSON document, in ASCII, whatever happens (specification "Result Types").
    """

    def log(text: str) -> None:
        """Write a line to stderr; that nobody reads it is no reason to stop half-way."""
        try:
            stderr.write(f"{text}\n")
            stderr.flush()
        except (OSError, ValueError):
            return

    if environ.get("CNI_COMMAND") == "VERSION":
        status, document = 0, version_document(program)
    else:
        from cni import dispatch  # noqa: PLC0415 - VERSION must not pay for JSON and dataclasses

        status, document = dispatch.answer(program, environ, stdin, log, own_netns, siblings, is_wanted)
    return status if _delivered(document, stdout, log) else 1


def version_document(program: Program) -> str:
    """Return the answer to VERSION, which the launcher gives too; a version holds digits and dots, so it needs no escaping."""
    listed = ", ".join(f'"{version}"' for version in program.versions)
    return f'{{"cniVersion": "{NEWEST}", "supportedVersions": [{listed}]}}\n'


def _delivered(document: str, stdout: Paper, log: Callable[[str], None]) -> bool:
    """Print `document`; that its reader has gone away is told on stderr, the last place left."""
    try:
        stdout.write(document)
        stdout.flush()
    except (OSError, ValueError) as gone:
        log(f"cannot deliver the answer: {gone}")
        return False
    return True


def _hold_descriptors() -> None:
    """Fill standard descriptors the caller left closed, lest a lock file or a socket become stdout."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
