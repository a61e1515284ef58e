"""Reads libcni's cache of attachments, and what a program of the list would get (docs/reference/cni.md 1.8, cache).

One file per attachment. A file that is no valid record is reported with its reason, and the next one is read. Plugins
that a list loads from a directory beside it are not in its record.
"""

import base64
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cni import json_object, request
from cni.attachment_id import AttachmentID
from cni.errors import CniError

KIND = "cniCacheV1"
LARGEST = 16 * 2**20
"""Bytes. A record has a few thousand."""

OPENING = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""No symbolic link of the directory is followed, and no FIFO can make us wait."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """What was asked for one attachment, and the result."""

    owner: AttachmentID
    netns: str  # empty where neither request nor result names it
    plugins: tuple[Json, ...]  # configurations of the list's programs
    checked: bool
    """Whether the list allows CHECK (`disableCheck`)."""
    result: Json
    arguments: str
    capabilities: Json

    def stdin(self, plugin: Mapping[str, Any]) -> bytes:
        """Return what libcni passes to `plugin`, as if the whole chain had run before."""
        declared = plugin.get("capabilities")
        own = {name for name, wanted in declared.items() if wanted is True} if isinstance(declared, dict) else set()
        given = {name: value for name, value in self.capabilities.items() if name in own}
        document = {**plugin, "name": self.owner.network, "cniVersion": self.result.get("cniVersion")}
        document |= {"runtimeConfig": given} if given else {}
        return json.dumps({**document, "prevResult": self.result}).encode()

    def environ(self, verb: str, inherited: Mapping[str, str], path: str) -> dict[str, str]:
        """Return the environment of such a call: the caller's own, and the variables of the specification."""
        return {
            **inherited,
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": self.owner.container_id,
            "CNI_NETNS": self.netns,
            "CNI_IFNAME": self.owner.ifname,
            "CNI_ARGS": self.arguments,
            "CNI_PATH": path,
        }


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file of the directory that is no record."""

    file: str
    problem: str  # why


def read(folder: Path) -> Iterator[Record | Unreadable]:
    """Yield the content of each file below `folder`/results, sorted by name; nothing if the directory is absent.

    Raises OSError when the directory cannot be read.
    """
    results = folder / "results"
    names = sorted(os.listdir(results)) if results.exists() else []  # noqa: PTH208 - names as bytes came, no paths yet
    for name in names:
        path = results / name
        try:
            yield _named(decode(_content(path)), name)
        except OSError as refused:
            yield Unreadable(str(path), refused.strerror or str(refused))
        except (CniError, ValueError, RecursionError) as wrong:
            yield Unreadable(str(path), str(wrong))


def decode(data: bytes) -> Record:
    """Return the record in `data`. Raises CniError or ValueError with what is wrong."""
    document = _object(json_object.load(data), "the record")
    if document.get("kind") != KIND:
        raise ValueError(f"its kind is {document.get('kind')!r:.60}, not {KIND}")
    network, container_id, ifname = (_text(document, key) for key in ("networkName", "containerId", "ifName"))
    configuration = _object(json_object.load(_bytes(document)), "its config")
    result = _object(document.get("result"), "its result")
    record = Record(
        owner=AttachmentID(network, container_id, ifname),
        netns=_text(document, "netns", "") or _sandbox(result, ifname),
        plugins=_plugins(configuration),
        checked=str(configuration.get("disableCheck", False)).lower() != "true",
        result=result,
        arguments=_arguments(document.get("cniArgs")),
        capabilities=_object(document.get("capabilityArgs") or {}, "its capabilityArgs"),
    )
    request.check_environment(record.environ("DEL", {}, "-"))
    request.compose({}, record.stdin({}), str)
    return record


def _named(record: Record, file: str) -> Record:
    """Return `record` if its file has the name that libcni gives it, so that no attachment is in two files."""
    owner = record.owner
    if file != (expected := f"{owner.network}-{owner.container_id}-{owner.ifname}"):
        raise ValueError(f"it tells of what would be in {expected}")
    return record


def _content(path: Path) -> bytes:
    descriptor = os.open(path, OPENING)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - the descriptor is open already
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no regular file")
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST >> 20} MiB")
    return data


def _bytes(document: Json) -> bytes:
    try:
        return base64.b64decode(_text(document, "config"), validate=True)
    except ValueError as wrong:
        raise ValueError(f"its config is no base64: {wrong}") from wrong


def _plugins(configuration: Json) -> tuple[Json, ...]:
    """Return the programs of a list; the configuration of one program counts as a list of one."""
    listed = configuration.get("plugins", [configuration])
    if not isinstance(listed, list) or not listed:
        raise ValueError("its config lists no plugins")
    plugins = tuple(_object(plugin, "a plugin of its config") for plugin in listed)
    for plugin in plugins:
        _text(plugin, "type")
    return plugins


def _sandbox(result: Json, ifname: str) -> str:
    """Return the namespace in the result. libcni has a record of its own for it only since 1.3."""
    interfaces = result.get("interfaces")
    for entry in interfaces if isinstance(interfaces, list) else ():
        if isinstance(entry, dict) and entry.get("name") == ifname and isinstance(entry.get("sandbox"), str):
            return str(entry["sandbox"])
    return ""


def _arguments(pairs: Any) -> str:
    if not isinstance(pairs, list | None) or not all(_is_pair(pair) for pair in pairs or ()):
        raise ValueError("its cniArgs are no pairs of texts")
    return ";".join(f"{key}={value}" for key, value in pairs or ())


def _is_pair(pair: Any) -> bool:
    return (
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) and "\0" not in part for part in pair)
    )


def _object(value: Any, what: str) -> Json:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no JSON object")  # noqa: TRY004 - a wrong document, not a wrong call
    return value


def _text(document: Json, key: str, default: str | None = None) -> str:
    value = document.get(key, default)
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"its {key} is no text")
    return value
