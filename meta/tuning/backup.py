"""Saves what was there before ADD, in the reference's form, so that each program's DEL can put it back.

One file per attachment, `<container>_<interface>.json`, with the reference's keys and two more: `sysctl` and `network`.
As with the reference, `a_b` and `c` have the same file name as `a` and `b_c`.
"""

from __future__ import annotations

import json
from contextlib import suppress
from types import MappingProxyType

from cni import addresses, json_object
from cni.errors import CniError
from meta.state_dir import Folder
from meta.tuning.config import HIGHEST_MTU, HIGHEST_QUEUE, Properties
from meta.tuning.plan import Memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

SUFFIX = ".json"


def name(container_id: str, ifname: str) -> str:
    """Return the name of an attachment's file."""
    return f"{container_id}_{ifname}{SUFFIX}"


def remember(folder: str, file: str, memory: Memory) -> None:
    """Save it in one step, in a file of mode 0600 in a directory of mode 0700. Raises CniError 5."""
    _files(folder).put(file, _text(memory))


def recall(folder: str, file: str) -> Memory | None:
    """Return what is saved; None when there is nothing, or it cannot be read."""
    with suppress(CniError, ValueError):
        content = _files(folder).get(file)
        return _memory(content) if content is not None else None
    return None


def forget(folder: str, file: str) -> None:
    """Delete the file, and a temporary one that a killed ADD left. Absence is success. Raises CniError 5."""
    _files(folder).remove(file)


def forget_strangers(folder: str, network: str, known: Collection[str]) -> None:
    """Delete every file of `network` whose name is not among the `known`. A file that names no network stays."""
    for file in _files(folder).names():
        if file.endswith(SUFFIX) and file not in known:
            memory = recall(folder, file)
            if memory and memory.network == network:
                forget(folder, file)


def _text(memory: Memory) -> bytes:
    told = memory.properties
    members = {
        "mac": told.mac or None,
        "promisc": told.promisc,
        "mtu": told.mtu or None,
        "allmulti": told.all_multicast,
        "txQLen": told.queue,
        "sysctl": dict(memory.sysctls) or None,
        "network": memory.network,
    }
    return json.dumps({key: value for key, value in members.items() if value is not None}, indent=1).encode()


def _memory(content: bytes) -> Memory:
    """Return what a file contains. Raises CniError or ValueError for a file that neither program writes."""
    root = json_object.decode(content)
    mac = root.text("mac")
    sysctls = {key: value for key, value in root.mapping("sysctl").items() if isinstance(value, str)}
    return Memory(
        root.text("network"),
        Properties(
            mac=addresses.parse_mac(mac) if mac else "",
            mtu=root.number("mtu", lowest=0, highest=HIGHEST_MTU),
            promisc=root.optional_flag("promisc"),
            all_multicast=root.optional_flag("allmulti"),
            queue=root.optional_number("txQLen", lowest=0, highest=HIGHEST_QUEUE),
        ),
        MappingProxyType(sysctls),
    )


def _files(folder: str) -> Folder:
    return Folder(folder, "tuning")
