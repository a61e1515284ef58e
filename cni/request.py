"""What a runtime asks of a program: the environment and stdin, checked and decoded once (specification "Parameters").

Which verb needs which variable is the table below (docs/reference/cni.md 1.2); their order is the order of the checks. Must not
know what the verbs do, and must not read the process's own environment: both are handed in.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from cni import json_object as config
from cni import results
from cni.errors import CniError, Code
from cni.versions import OLDEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cni.types import Result

    InProcess = Callable[[str], object | None]

IFNAME_BYTES = 15
"""IFNAMSIZ of linux/if.h less the closing NUL."""

ALNUM = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
ID_LETTERS = ALNUM | frozenset("_.-")


@dataclass(frozen=True, slots=True)
class Request:
    """One call of one verb. `netns` and `args` may be empty; `stdin` is what delegates are handed, byte for byte.

    `own_netns` is the path of the namespace the request is served in. `in_process` returns the program that can be served in this
    process instead of executing a path, None when there is none (`cni.in_process`). `program` is the name of the one that serves
    the request, `caller` the request in this process that it is served for.
    """

    command: str
    container_id: str
    netns: str
    ifname: str
    args: str
    path: str
    stdin: bytes
    config: config.JsonObject
    environ: Mapping[str, str]
    log: Callable[[str], object]
    own_netns: str = ""
    in_process: InProcess | None = None
    program: str = ""
    caller: Request | None = None

    @property
    def served(self) -> tuple[str, str, str, str]:
        """What is served by which program: its name, network, container and interface, empty where a verb is about none."""
        return self.program, self.name, self.container_id, self.ifname

    def callers(self) -> Iterator[Request]:
        """Yield the requests of this process that wait for this one, the nearest first."""
        caller = self.caller
        while caller is not None:
            yield caller
            caller = caller.caller

    @property
    def name(self) -> str:
        """The network's name, checked when the request came in."""
        return self.config.text("name")

    @property
    def version(self) -> str:
        """The configuration's cniVersion, 0.1.0 when absent; an error when it is no string (docs/reference/cni.md 1.3)."""
        try:
            return self.config.text("cniVersion") or OLDEST
        except CniError as wrong:
            raise CniError(Code.DECODING_FAILURE, wrong.msg, wrong.remedy) from wrong

    @property
    def prev_result(self) -> Result | None:
        """The result so far, read on every access; a malformed one raises CniError 7 only here, so that DEL can go on."""
        return results.previous(self.config, self.version)


def compose(  # noqa: PLR0913 - what a process is given, and what is served in it
    environ: Mapping[str, str],
    stdin: bytes,
    log: Callable[[str], object],
    own_netns: str = "",
    in_process: InProcess | None = None,
    *,
    program: str = "",
    caller: Request | None = None,
) -> Request:
    """Return the request that a checked environment and `stdin` make (docs/reference/cni.md 1.3, step 3).

    Raises CniError 6 for what is not a JSON object or has a name that is no string, 7 for a missing or bad name.
    """
    section = config.decode(stdin)
    _check_name(section)
    return Request(
        command=environ.get("CNI_COMMAND", ""),
        container_id=environ.get("CNI_CONTAINERID", ""),
        netns=environ.get("CNI_NETNS", ""),
        ifname=environ.get("CNI_IFNAME", ""),
        args=environ.get("CNI_ARGS", ""),
        path=environ.get("CNI_PATH", ""),
        stdin=stdin,
        config=section,
        environ=environ,
        log=log,
        own_netns=own_netns,
        in_process=in_process,
        program=program,
        caller=caller,
    )


def check_environment(environ: Mapping[str, str]) -> None:
    """Raise CniError 4 for the first invalid variable, else for all missing ones at once (docs/reference/cni.md 1.2, 1.3)."""
    command = environ.get("CNI_COMMAND", "")
    missing = []
    for name, (verbs, check) in VARIABLES.items():
        value = environ.get(name, "")
        if command not in verbs and name != "CNI_COMMAND":
            continue
        if not value:
            missing.append(name)
        elif check is not None:
            check(value)
    if missing:
        raise CniError(
            Code.INVALID_ENVIRONMENT,
            f"required env variables [{','.join(missing)}] missing",
            "the runtime passes them; by hand: set each to a value that is not empty",
        )


def allows_own_netns(environ: Mapping[str, str]) -> bool:
    """Tell whether CNI_NETNS_OVERRIDE lets a program work in the namespace it runs in: `1`, or `true` in any case."""
    override = environ.get("CNI_NETNS_OVERRIDE", "")
    return override == "1" or override.lower() == "true"


def _is_id(text: str) -> bool:
    return text[:1] in ALNUM and ID_LETTERS.issuperset(text)


def _check_container_id(text: str) -> None:
    if not _is_id(text):
        raise CniError(Code.INVALID_ENVIRONMENT, "invalid characters in containerID", details=text)


def _check_ifname(text: str) -> None:
    remedy = details = ""
    if len(os.fsencode(text)) > IFNAME_BYTES:
        msg, details = "interface name is too long", "interface name should be less than 16 characters"
    elif text in (".", ".."):
        msg = "interface name is . or .."
    elif any("\ud800" <= letter <= "\udfff" for letter in text):  # how Python keeps bytes that are none (PEP 383)
        msg, remedy = "interface name is not UTF-8", "no result could name it: choose a name of letters and digits"
    elif any(letter in "/:" or letter.isspace() for letter in text):
        msg = "interface name contains / or : or whitespace characters"
    else:
        return
    raise CniError(Code.INVALID_ENVIRONMENT, msg, remedy, details=details)


def _check_name(section: config.JsonObject) -> None:
    try:
        name = section.text("name")
    except CniError as wrong:
        raise CniError(Code.DECODING_FAILURE, wrong.msg, wrong.remedy) from wrong
    if not name:
        raise CniError(Code.INVALID_CONFIG, "missing network name", 'add "name" to the configuration')
    if not _is_id(name):
        raise CniError(Code.INVALID_CONFIG, "invalid characters found in network name", details=name)


ATTACHING = frozenset({"ADD", "CHECK", "DEL"})
ALL = ATTACHING | {"GC", "STATUS"}

VARIABLES: Mapping[str, tuple[frozenset[str], Callable[[str], None] | None]] = {
    "CNI_COMMAND": (ALL | {"VERSION"}, None),
    "CNI_CONTAINERID": (ATTACHING, _check_container_id),
    "CNI_NETNS": (frozenset({"ADD", "CHECK"}), None),
    "CNI_IFNAME": (ATTACHING, _check_ifname),
    "CNI_PATH": (ALL, None),
}
"""Who needs which variable, and what it has to look like. CNI_ARGS and CNI_NETNS_OVERRIDE are optional everywhere."""
