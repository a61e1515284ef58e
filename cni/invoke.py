"""Runs another plugin for the one that was called ("Plugin Delegation", docs/reference/cni.md 1.8 and 1.10).

The other plugin gets the same environment with another CNI_COMMAND, and the same stdin byte for byte unless the caller
gives another document; its error is raised unchanged. A plugin of this build runs in this process, with the same checks
and the same answer. Any other is started as a process, and is searched in CNI_PATH only. Its streams are memory files:
nothing needs to be polled, a child of it that keeps a stream open blocks nothing, and subprocess need not be imported.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import stat
import time
from dataclasses import dataclass

from cni import dispatch, json_object, results
from cni.errors import SYSTEM_REMEDIES, CniError, Code, RelayedError, quoted
from cni.program import Program
from cni.types import Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cni.request import Request

BUSY_WAITS: tuple[float, ...] = (0.05, 0.2, 0.5, 1.0, 1.5)
"""Seconds between attempts while a program is still being written ("text file busy"); the reference waits 5 x 1 s."""

ANSWER_BYTES = 16 * 2**20
"""How much of a delegate's answer is read: a result is a few kilobytes."""

QUOTED = 400
"""How many characters of an answer nobody understands an error repeats."""

REMEDIES = {
    errno.EACCES: "make it executable",
    errno.ENOENT: "the interpreter named in its first line is missing",
    errno.ENOEXEC: "it is no program for this machine, or a script without an interpreter in its first line",
    errno.ETXTBSY: "somebody is still writing it: try again when the installation has ended",
}
"""What to do about the ways in which a program refuses to start."""

IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
"""Signals the interpreter ignores; a program it starts would inherit that and must get the default back."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished program left: its exit status (negative for a signal), stdout and stderr."""

    status: int
    """The exit status; negative for a signal."""
    stdout: bytes
    """What it printed."""
    stderr: str
    """What it reported."""


def delegate(request: Request, plugin: str, verb: str, *, stdin: bytes | None = None) -> Result:
    """Run `plugin` for `verb` and return its result; verbs other than ADD, and an answer of null, give an empty one.

    `stdin` is a configuration of the delegate's own, for callers that do not pass theirs on.

    Raises the delegate's own CniError untouched; CniError 7 when the program cannot be found (see `find`), 5 when it
    cannot be run or died wordless, 6 when what it printed cannot be understood.
    """
    path = find(plugin, request.path)
    environ = {**request.environ, "CNI_COMMAND": verb}
    document = request.stdin if stdin is None else stdin
    own = request.in_process(path) if request.in_process else None
    outcome = _serve(own, environ, document, request) if isinstance(own, Program) else _run(path, environ, document)
    if outcome.stderr:
        request.log(outcome.stderr.rstrip("\n"))
    if outcome.status != 0:
        raise _refusal(plugin, verb, outcome)
    return _result(plugin, outcome.stdout, request.version) if verb == "ADD" else Result()


def find(plugin: str, path: str) -> str:
    """Return the first regular file called `plugin` (links followed) in the directories of `path`, joined by colons.

    Raises CniError 7 for an empty name, one that could leave the directory (CVE-2021-20206), an empty path, and a
    name found nowhere. The executable bit is not looked at, so that a forgotten one is told apart from absence.
    """
    if not plugin:
        raise CniError(Code.INVALID_CONFIG, "no plugin name provided", 'name the program in "type", like host-local')
    if "/" in plugin or "\0" in plugin:
        raise CniError(Code.INVALID_CONFIG, f"invalid plugin name: {quoted(plugin)}", "a name holds no path separator")
    directories = [directory for directory in path.split(":") if directory]
    if not directories:
        raise CniError(Code.INVALID_CONFIG, "no paths provided", "set CNI_PATH to the directories of the plugins")
    for directory in directories:
        program = f"{directory}/{plugin}"
        if _is_regular(program):
            return program
    raise CniError(
        Code.INVALID_CONFIG,
        f"failed to find plugin {quoted(plugin)} in path [{' '.join(directories)}]",
        "install the program there, or add its directory to CNI_PATH",
    )


def _is_regular(program: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(program).st_mode)  # noqa: PTH116 - pathlib costs milliseconds
    except OSError:
        return False


def _serve(program: Program, environ: Mapping[str, str], stdin: bytes, caller: Request) -> Outcome:
    """Have a program of ours serve the request here, and return what its process would have left."""
    said: list[str] = []
    status, answer = dispatch.answer(
        program,
        environ,
        io.BytesIO(stdin),
        said.append,
        caller.own_netns,
        caller.in_process,
        caller=caller,
    )
    return Outcome(status, answer.encode(), "".join(f"{text}\n" for text in said))


def _run(program: str, environ: Mapping[str, str], stdin: bytes, waits: Iterable[float] = BUSY_WAITS) -> Outcome:
    """Run `program` to its end. Raises CniError 5 when it cannot be started."""
    descriptors: list[int] = []
    try:
        for name in ("stdin", "stdout", "stderr"):
            descriptors.append(os.memfd_create(f"cni-{name}"))  # noqa: PERF401 - what was opened is closed below
        _fill(descriptors[0], stdin)
        child = _spawn(program, environ, descriptors, waits)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return Outcome(status, _content(descriptors[1]), _content(descriptors[2]).decode("utf-8", "backslashreplace"))
    except OSError as refused:
        raise CniError(Code.IO_FAILURE, f"cannot run {program}: {refused.strerror}", _remedy(refused)) from refused
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _spawn(program: str, environ: Mapping[str, str], descriptors: Sequence[int], waits: Iterable[float]) -> int:
    """Start `program` and return its process id; a file somebody still writes to is tried again after each wait."""
    actions = [(os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in enumerate(descriptors)]
    for wait in waits:
        try:
            return os.posix_spawn(program, [program], environ, file_actions=actions, setsigdef=IGNORED_BY_PYTHON)
        except OSError as refused:
            if refused.errno != errno.ETXTBSY:
                raise
            time.sleep(wait)
    return os.posix_spawn(program, [program], environ, file_actions=actions, setsigdef=IGNORED_BY_PYTHON)


def _fill(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.lseek(descriptor, 0, os.SEEK_SET)


def _content(descriptor: int) -> bytes:
    size = min(os.fstat(descriptor).st_size, ANSWER_BYTES)
    return os.pread(descriptor, size, 0)


def _remedy(refused: OSError) -> str:
    return REMEDIES.get(refused.errno or 0) or SYSTEM_REMEDIES.get(refused.errno or 0, "")


def _result(plugin: str, stdout: bytes, version: str) -> Result:
    try:
        return results.parse(json_object.load(stdout), version)
    except CniError as wrong:
        raise CniError(
            Code.DECODING_FAILURE,
            f"plugin {quoted(plugin)} answered ADD with something that is no result: {wrong.msg}",
            details=f"its stdout was {_excerpt(stdout)}",
        ) from wrong


def _refusal(plugin: str, verb: str, outcome: Outcome) -> CniError:
    """Return the error the delegate printed; where it printed none, one that shows what there is instead."""
    ending = f"exit status {outcome.status}" if outcome.status > 0 else f"signal {-outcome.status}"
    failed = f"plugin {quoted(plugin)} failed at {verb} with {ending}"
    if not outcome.stdout.strip():
        evidence = f"its stderr was {quoted(outcome.stderr[:QUOTED])}" if outcome.stderr else ""
        return CniError(Code.IO_FAILURE, f"{failed} and printed no error message", details=evidence)
    try:
        document = json_object.decode(outcome.stdout)
        remedy = document.raw("remedy")  # ours: whatever another program means by it is no reason to lose the rest
        return RelayedError(
            _code(document),
            _message(document),
            remedy if isinstance(remedy, str) else "",
            details=document.text("details"),
        )
    except CniError:
        return CniError(
            Code.DECODING_FAILURE,
            f"{failed} and its error message cannot be understood",
            details=_excerpt(outcome.stdout),
        )


def _code(document: json_object.JsonObject) -> int:
    return document.number("code", Code.INTERNAL, lowest=0)


def _message(document: json_object.JsonObject) -> str:
    """Return the text of an error; a document without any is no error document, and its refusal is CniError 7."""
    if not (document.has("code") or document.text("msg")):
        document.refuse("msg", document.raw("msg"), "an error message")
    return document.text("msg")


def _excerpt(output: bytes) -> str:
    return quoted(output[:QUOTED].decode("utf-8", "backslashreplace"))
