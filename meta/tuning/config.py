"""Reads the configuration of `tuning` into values that are already valid (docs/reference/cni.md 4.4, 1.9).

Only parameters below /proc/sys/net are accepted; that is checked here, before any file is opened.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cni import addresses, args, json_object
from cni.errors import CniError, Code, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeVar

    from cni.json_object import JsonObject
    from cni.request import Request

    Value = TypeVar("Value")

DATA_DIR = "/run/cni/tuning"
HIGHEST_MTU = 2**31 - 1
HIGHEST_QUEUE = 2**32 - 1
PLACE = "IFNAME"
"""What stands for the interface's name in a key."""

KEY = re.compile(r"[./]*net(?:[./]+[^./\s\x00-\x20\x7f-\x9f]+)+[./]*")
"""A parameter below net, its parts joined by dots or slashes, without blanks and control characters."""


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A kernel parameter."""

    key: str  # as the configuration writes it
    path: str  # below /proc/sys
    value: str  # to be set


@dataclass(frozen=True, slots=True)
class Properties:
    """Properties of an interface. Empty, 0 (of `mtu`) and None mean: do not change."""

    mac: str = ""
    mtu: int = 0
    promisc: bool | None = None  # key `promisc`
    all_multicast: bool | None = None  # key `allmulti`
    queue: int | None = None  # key `txQLen`: length of the transmit queue in packets

    @property
    def any(self) -> bool:
        """Whether any property is to be changed."""
        return self != NOTHING


NOTHING = Properties()


@dataclass(frozen=True, slots=True)
class Settings:
    """What an attachment is to be changed to."""

    sysctls: tuple[Sysctl, ...]
    properties: Properties
    data_dir: str  # where is saved what was there before


def parse(request: Request) -> Settings:
    """Return the settings of `request`. Raises CniError 7 that names the key, its value and what is expected."""
    root = request.config
    sections = [root] + ([wishes] if (wishes := _below(root, "args", "cni")) else [])
    return Settings(
        sysctls=_sysctls(sections, request.ifname),
        properties=Properties(
            mac=_mac(request),
            mtu=_last(each.optional_number("mtu", lowest=0, highest=HIGHEST_MTU) for each in sections) or 0,
            promisc=_last(each.optional_flag("promisc") for each in sections),
            all_multicast=_last(each.optional_flag("allmulti") for each in sections),
            queue=_last(each.optional_number("txQLen", lowest=0, highest=HIGHEST_QUEUE) for each in sections),
        ),
        data_dir=data_dir(root),
    )


def data_dir(root: JsonObject) -> str:
    """Return the directory of saved files, all that DEL and GC need to know.

    Raises CniError 7 unless it is absolute.
    """
    folder = root.text("dataDir") or DATA_DIR
    if not folder.startswith("/"):
        root.refuse("dataDir", folder, "an absolute path")
    return folder


def refuse_duplicates(stdin: bytes) -> None:
    """Raise CniError 7 for a parameter that the JSON text sets twice: the decoded object no longer shows that."""
    for path in (("sysctl",), ("args", "cni", "sysctl")):
        for key in json_object.repeated(stdin, *path):
            raise _duplicated(key, ".".join(path))


def _sysctls(sections: Iterable[JsonObject], ifname: str) -> tuple[Sysctl, ...]:
    """Return the parameters of all sections. A later section wins, also when it writes the key differently."""
    found: dict[str, Sysctl] = {}
    for section in sections:
        own: dict[str, Sysctl] = {}
        for key, value in section.mapping("sysctl").items():
            if not isinstance(value, str) or "\0" in value:
                section.refuse("sysctl", {}, f"a string without NUL characters as the value of {quoted(key)}")
            path = _path(section, key, ifname)
            if path in own:
                raise _duplicated(key, section.where("sysctl"))
            own[path] = Sysctl(key, path, value)
        found |= own
    return tuple(found.values())


def _path(section: JsonObject, key: str, ifname: str) -> str:
    """Return the path below /proc/sys of a key. The interface's name is inserted last, since it may contain dots."""
    if ".." in key or not KEY.fullmatch(key):
        raise CniError(
            Code.INVALID_CONFIG,
            f"invalid net sysctl key: {quoted(key)}",
            f'invalid value of "{section.where("sysctl")}": expected keys below net, like net.ipv4.conf.{PLACE}.log_martians',
        )
    return "/".join(filter(None, key.replace(".", "/").split("/"))).replace(PLACE, ifname or PLACE, 1)


def _duplicated(key: str, where: str) -> CniError:
    return CniError(
        Code.INVALID_CONFIG,
        f"sysctl {quoted(key)} is duplicated",
        f'invalid value of "{where}": expected every kernel parameter once',
    )


def _mac(request: Request) -> str:
    """Return the MAC that was asked for.

    A later source wins: `mac`, CNI_ARGS, runtimeConfig.mac, args.cni.mac (docs/reference/cni.md 1.9).
    """
    root = request.config
    sources = (
        _read_mac(root),
        _colons(args.parse(request.args, {"MAC"}).get("MAC", ""), "MAC of CNI_ARGS"),
        _read_mac(root.section("runtimeConfig")),
        _read_mac(_below(root, "args", "cni")),
    )
    return _last(mac or None for mac in sources) or ""


def _read_mac(section: JsonObject | None) -> str:
    return _colons(section.text("mac"), section.where("mac")) if section else ""


def _colons(mac: str, where: str) -> str:
    try:
        return addresses.parse_mac(mac) if mac else ""
    except ValueError as wrong:
        raise CniError(
            Code.INVALID_CONFIG, f'invalid value of "{where}": got "{mac}"', f"expected {addresses.MAC}"
        ) from wrong


def _below(section: JsonObject, *path: str) -> JsonObject | None:
    found: JsonObject | None = section
    for key in path:
        found = found.section(key) if found else None
    return found


def _last(values: Iterable[Value | None]) -> Value | None:
    """Return the last value that was given."""
    return ([None, *(value for value in values if value is not None)])[-1]
