"""Carries a request out: the specification's checks in the reference's order (docs/reference/cni.md 1.3), the verb.

What it reads comes as arguments, and what is to be printed is returned, so that a cold process and a warm worker run
the same code.
"""

from __future__ import annotations

import errno
import json
import os
from contextlib import nullcontext
from dataclasses import replace

from cni import attachment_lock, installed, request, results, versions
from cni.errors import SYSTEM_REMEDIES, CniError, Code, RelayedError, quoted
from cni.types import Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from typing import Protocol

    from cni.program import Program
    from cni.request import InProcess

    class Source(Protocol):
        """What a configuration is read from."""

        def read(self, size: int, /) -> bytes:
            """Return at most `size` bytes, none at the end."""


STDIN_BYTES = 16 * 2**20
"""A configuration is a few kilobytes; whoever sends more than this is not a runtime."""

CHUNK = 64 * 2**10

SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Why a good file cannot be read."""

REJECTIONS = (Code.INVALID_CONFIG, Code.UNSUPPORTED_FIELD)
ADVICE = "`tulle lint FILE` lists every mistake of a configuration"
"""What a program's refusal of its configuration ends in: a program stops at the first mistake, the command does not."""


def answer(  # noqa: PLR0913, PLR0917 - what a process is given
    program: Program,
    environ: Mapping[str, str],
    stdin: Source,
    log: Callable[[str], object],
    own_netns: str,
    in_process: InProcess | None = None,
    is_wanted: Callable[[], bool] | None = None,
    caller: request.Request | None = None,
) -> tuple[int, str]:
    """Serve one request other than VERSION; return the exit code and the document for stdout.

    `own_netns` is the path of the network namespace this runs in; delegates that `in_process` knows are served the same
    way, and `caller` is the request in this process that one of those is served for. What `is_wanted` denies when its
    turn has come is not begun.
    """
    if not environ.get("CNI_COMMAND") and program.about:
        log(_introduction(program))
        return 0, ""
    version = versions.NEWEST
    try:
        request.check_environment(environ)
        asked = request.compose(environ, _read(stdin), log, own_netns, in_process, program=program.name, caller=caller)
        version = _spoken(asked)
        return 0, _serve(program, asked, is_wanted)
    except Exception as failure:  # noqa: BLE001 - whatever happens, the runtime gets one error document
        if environ.get("TULLE_DEBUG") == "1":
            log(_traceback(failure))
        refused = refusal(failure)
        if refused.remedy and not isinstance(refused, RelayedError):  # whoever refused has said it
            log(f"{program.name}: {refused}")
        return 1, _error_document(refused, version)


def refusal(failure: Exception) -> CniError:
    """Return the one error that tells the runtime of `failure`; several gathered in a group become one.

    What nobody foresaw is 999 and a bug of ours. An OSError of Python's own is 5, one that the kernel package
    derived is 100: its text already says what was asked, its `hint`, if any, what to do.
    """
    if isinstance(failure, CniError):
        return failure
    if isinstance(failure, ExceptionGroup):
        return _joined([refusal(leaf) for leaf in _leaves(failure)])
    if isinstance(failure, MemoryError):
        return CniError(Code.TRY_AGAIN_LATER, "no memory is left", SYSTEM_REMEDIES[errno.ENOMEM])
    if installed.unreadable(failure):
        number = getattr(failure, "errno", None)
        remedy = SYSTEM_REMEDIES[number] if number in SCARCE else installed.REMEDY
        return CniError(Code.IO_FAILURE, installed.what(failure), remedy)
    if isinstance(failure, OSError):
        return _system_refusal(failure)
    kind = type(failure).__name__
    return CniError(
        Code.INTERNAL,
        str(failure) or kind,
        "run it again with TULLE_DEBUG=1 and report the traceback on stderr",
        details=f"unexpected {kind}, a bug in tulle",
    )


def check_version(supported: tuple[str, ...], verb: str, asked: str) -> None:
    """Raise CniError 1 unless `verb` may be called at version `asked` and a program of `supported` speaks it; 6 for junk."""
    since = versions.VERB_SINCE.get(verb)
    if since is not None:
        number = _parsed(asked)
        if number < versions.parse(since):
            raise CniError(
                Code.INCOMPATIBLE_VERSION, f"config version does not allow {verb}", f"{verb} exists since {since}"
            )
        if all(_parsed(version) < number for version in supported):
            raise CniError(Code.INCOMPATIBLE_VERSION, f"plugin version does not allow {verb}")
    if asked not in supported:
        raise CniError(
            Code.INCOMPATIBLE_VERSION,
            "incompatible CNI versions",
            details=f"config is {quoted(asked)}, plugin supports [{' '.join(quoted(version) for version in supported)}]",
        )


def _introduction(program: Program) -> str:
    """Return what a person who starts a program by hand reads. nerdctl finds its version in the first line, spelled as the reference's is."""
    from cni import release  # noqa: PLC0415 - no request needs it

    return f"CNI {program.name} plugin v{release.version()}\nCNI protocol versions supported: {', '.join(program.versions)}\n{program.about}"


def _serve(program: Program, asked: request.Request, is_wanted: Callable[[], bool] | None) -> str:
    """Call the verb and return its document. The result is converted before anything is printed (docs/reference/cni.md 8, trap 12)."""
    verb = asked.command
    if verb not in request.ALL:
        raise CniError(
            Code.INVALID_ENVIRONMENT,
            f"unknown CNI_COMMAND: {verb}",
            f"known are VERSION, {', '.join(sorted(request.ALL))}",
        )
    check_version(program.versions, verb, asked.version)
    if _is_loop(asked):
        return ""
    misplaced = verb in ("ADD", "DEL") and _is_own_netns(asked)
    if misplaced and verb == "ADD":
        raise _own_netns_refusal(asked)
    with _turn(asked):
        if is_wanted and not is_wanted():
            raise CniError(Code.TRY_AGAIN_LATER, "the caller is gone", details="nothing was begun")
        outcome = _call(program, _spared(asked) if misplaced else asked)
    if misplaced:
        raise _own_netns_refusal(asked)
    return json.dumps(results.dump(outcome or Result(), asked.version)) if verb == "ADD" else ""


def _is_loop(asked: request.Request) -> bool:
    """Return whether this program is among its own callers, who are at DEL or GC already: then nothing is left to do here.

    Raises CniError 7 for every other verb: the program would wait for its own turn, or call itself without end.
    """
    callers = list(asked.callers())
    if all(each.served != asked.served for each in callers):
        return False
    if asked.command in ("DEL", "GC"):
        return True
    chain = " calls ".join(each.program for each in (*reversed(callers), asked))
    raise CniError(
        Code.INVALID_CONFIG,
        f"{asked.program} is its own delegate: {chain}",
        'name another program as "type" in the configuration of the one that calls it',
    )


def _turn(asked: request.Request) -> AbstractContextManager[None]:
    """Return what holds every other request of this attachment off; the program is named because its delegates are asked alike."""
    if asked.command not in request.ATTACHING:
        return nullcontext()
    return attachment_lock.AttachmentLock(*asked.served)


def _call(program: Program, asked: request.Request) -> Result | None:
    """Call the verb; what it refuses is told with the advice that goes with it. The skeleton's own refusals are the contract's."""
    verb = program.load().get(asked.command)
    try:
        return None if verb is None else verb(asked)
    except Exception as failure:
        refused = _advised(refusal(failure))
        if refused is failure:
            raise
        raise refused from failure


def _advised(refused: CniError) -> CniError:
    """Return `refused` naming the command that shows all of a rejected configuration, unless a delegate said it."""
    if refused.code not in REJECTIONS or isinstance(refused, RelayedError) or ADVICE in refused.remedy:
        return refused
    remedy = f"{refused.remedy}; {ADVICE}" if refused.remedy else ADVICE
    return CniError(refused.code, refused.msg, remedy, details=refused.details)


def _spared(asked: request.Request) -> request.Request:
    """Return a DEL that cleans up as though the namespace were gone: in the host's own one, no link is the container's."""
    return replace(asked, netns="", environ={**asked.environ, "CNI_NETNS": ""})


def _is_own_netns(asked: request.Request) -> bool:
    """Return whether CNI_NETNS is the program's own namespace; one that cannot be opened is not (docs/reference/cni.md 1.3)."""
    if not asked.netns or request.allows_own_netns(asked.environ):
        return False
    try:
        return os.path.samefile(asked.netns, asked.own_netns)  # noqa: PTH121 - pathlib costs milliseconds
    except (OSError, ValueError):
        return False


def _own_netns_refusal(asked: request.Request) -> CniError:
    return CniError(
        Code.INVALID_NETNS,
        "plugin's netns and netns from CNI_NETNS should not be the same",
        f"CNI_NETNS is {quoted(asked.netns)}: pass the container's namespace, or set CNI_NETNS_OVERRIDE=1",
    )


def _read(stdin: Source) -> bytes:
    """Return what stdin holds to its end; CniError 5 when it cannot be read, 6 when there is no end to it."""
    data = bytearray()
    try:
        while chunk := stdin.read(CHUNK):
            data += chunk
            if len(data) > STDIN_BYTES:
                raise CniError(
                    Code.DECODING_FAILURE,
                    f"configuration on stdin is larger than {STDIN_BYTES >> 20} MiB",
                    "a network configuration takes a few kilobytes: check what is written to stdin",
                )
    except (OSError, ValueError) as broken:
        raise CniError(Code.IO_FAILURE, f"error reading from stdin: {broken}") from broken
    return bytes(data)


def _parsed(version: str) -> tuple[int, int, int]:
    try:
        return versions.parse(version)
    except ValueError as wrong:
        raise CniError(Code.DECODING_FAILURE, str(wrong), 'correct "cniVersion" in the configuration') from wrong


def _spoken(asked: request.Request) -> str:
    """Return the version an error is told in: the configuration's where it is one, else the newest."""
    version = asked.config.raw("cniVersion")
    if version in (None, ""):
        return versions.OLDEST
    return version if version in versions.SUPPORTED else versions.NEWEST


def _leaves(group: ExceptionGroup[Exception]) -> Iterator[Exception]:
    for member in group.exceptions:
        if isinstance(member, ExceptionGroup):
            yield from _leaves(member)
        else:
            yield member


def _joined(refusals: list[CniError]) -> CniError:
    """Return one error with the code of the first and the words of all."""
    if len(refusals) == 1:
        return refusals[0]
    return CniError(
        refusals[0].code,
        "; ".join(each.msg for each in refusals),
        "; ".join(dict.fromkeys(each.remedy for each in refusals if each.remedy)),
        details="; ".join(dict.fromkeys(each.details for each in refusals if each.details)),
    )


def _system_refusal(failure: OSError) -> CniError:
    if type(failure).__module__ != "builtins":
        return CniError(Code.KERNEL_REFUSED, str(failure), getattr(failure, "hint", ""))
    place = f": {failure.filename}" if failure.filename else ""
    return CniError(
        Code.IO_FAILURE, f"{failure.strerror or failure}{place}", SYSTEM_REMEDIES.get(failure.errno or 0, "")
    )


def _error_document(refused: CniError, version: str) -> str:
    more = {"details": refused.details, "remedy": refused.remedy}
    told = {key: text for key, text in more.items() if text}
    return json.dumps({"cniVersion": version, "code": refused.code, "msg": refused.msg, **told})


def _traceback(failure: Exception) -> str:
    import traceback  # noqa: PLC0415 - only for who debugs

    return "".join(traceback.format_exception(failure))
