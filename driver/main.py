"""The command line of the driver.

`tulle create`, `setup NETNS`, `teardown NETNS` and `info`, run by netavark and Podman.

It reads one JSON document from stdin and writes at most one to stdout. An error is exactly {"error": TEXT} with exit
code 1 (docs/reference/runtimes.md C.2). Only this module of the driver uses streams and environment.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress

from cni import dispatch, json_object, release
from cni.errors import CniError, Code
from driver import plugin
from driver.plugin import Surroundings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, BinaryIO, TextIO

    from cni.request import InProcess

API_VERSION = "1.0.0"
"""Version of netavark's plugin API."""


def main(words: Sequence[str], path: str = "", in_process: InProcess | None = None) -> int:
    """Serve the one call that this process was started for.

    `path` is where the CNI programs are, by default CNI_PATH.
    """
    environ = dict(os.environ)
    found = path or environ.get("CNI_PATH", "")
    with open(0, "rb", closefd=False) as stdin:
        return run(
            words, environ=environ, stdin=stdin, stdout=sys.stdout, stderr=sys.stderr, path=found, in_process=in_process
        )


def run(  # noqa: PLR0913 - what a process is given, each named
    words: Sequence[str],
    *,
    environ: Mapping[str, str],
    stdin: BinaryIO,
    stdout: TextIO,
    stderr: TextIO,
    path: str,
    in_process: InProcess | None = None,
) -> int:
    """Serve one call with the given streams and return the exit code.

    If the answer to a setup cannot be written, tear it down.
    """

    def log(text: str) -> None:
        with suppress(OSError, ValueError):  # a closed stderr must not stop the call half-way
            stderr.write(f"{text}\n")
            stderr.flush()

    around = Surroundings(path, environ, log, in_process, os.getppid(), os.geteuid())
    told = b""
    try:
        told = stdin.read() if words[0] != "info" else b""
        answer = _serve(words, told, around)
        status = 0
    except Exception as failure:  # noqa: BLE001 - whatever happens, netavark gets one error document
        if environ.get("TULLE_DEBUG") == "1":
            log(_traceback(failure))
        status, answer = 1, {"error": _told(dispatch.refusal(failure))}
    try:
        if answer is not None:
            stdout.write(f"{json.dumps(answer)}\n")
        stdout.flush()
    except OSError as untold:
        log(f"cannot deliver the answer: {untold}: {json.dumps(answer)}")
        with suppress(OSError):  # the rest of the output, which the interpreter would try to write again at exit
            stdout.close()
        if status == 0 and words[0] == "setup":
            _undo(told, words[1], around)
        return 1
    return status


def _undo(told: bytes, netns: str, around: Surroundings) -> None:
    """Tear down what was set up for a caller that did not get the answer. Failures go to stderr."""
    try:
        plugin.teardown(json_object.decode(told), netns, around)
        around.log("tulle: the setup was undone")
    except Exception as failure:  # noqa: BLE001 - there is nobody left to raise it to
        around.log(f"tulle: the setup was not undone: {_told(dispatch.refusal(failure))}")


def _serve(words: Sequence[str], told: bytes, around: Surroundings) -> dict[str, Any] | None:
    verb, *rest = words
    if verb == "info":
        return {"version": release.version(), "api_version": API_VERSION}
    if verb == "create" and not rest:
        return plugin.create(json_object.decode(told), around)
    if verb == "setup" and len(rest) == 1:
        return plugin.setup(json_object.decode(told), rest[0], around)
    if verb == "teardown" and len(rest) == 1:
        plugin.teardown(json_object.decode(told), rest[0], around)
        return None
    raise CniError(
        Code.INVALID_ENVIRONMENT,
        f"wrong usage: tulle {' '.join(words)}",
        "netavark calls create, setup NETNS, teardown NETNS or info, with its JSON on stdin",
    )


def _told(refused: CniError) -> str:
    """Return the error as text for people, without the advice to lint a file: with Podman there is none."""
    return str(refused).replace(f"; {dispatch.ADVICE}", "").replace(f": {dispatch.ADVICE}", "")


def _traceback(failure: Exception) -> str:
    import traceback  # noqa: PLC0415 - only for who debugs

    return "".join(traceback.format_exception(failure))
