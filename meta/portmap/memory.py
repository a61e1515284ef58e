"""Remembers what is published for whom, so that a mapping in the way can be proved dead and DEL needs no configuration.

One small file an attachment, named by its mark. It need not survive a power failure: what is not remembered counts as
alive. Must not know rules.
"""
# pathlib costs milliseconds that every container's start would pay:
# ruff: noqa: PTH105, PTH108, PTH118, PTH123, PTH208

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass

from cni.owner import Owner, network_mark
from system import folders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

BOOT_ID = "/proc/sys/kernel/random/boot_id"
"""random(4): a UUID that the kernel draws once when it starts."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Whose it is (the link alias), which boot it was, the backend that has the rules, whether the host end had the alias."""

    alias: str
    boot: str
    backend: str
    named_link: bool


def remember(folder: str, owner: Owner, memory: Memory) -> None:
    """Put the memory in place in one step, file 0600 in a directory made 0700. Raises OSError."""
    folders.make(folder, 0o700)
    path = os.path.join(folder, owner.mark)
    pending = os.path.join(folder, f".{owner.mark}")
    members = {"attachment": memory.alias, "boot": memory.boot, "backend": memory.backend, "link": memory.named_link}
    with suppress(FileNotFoundError):
        os.unlink(pending)
    descriptor = os.open(pending, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(members, file)
    os.replace(pending, path)


def recall(folder: str, mark: str) -> Memory | None:
    """Return what is remembered of the attachment with this mark; None for nothing, or for what cannot be read."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        descriptor = os.open(os.path.join(folder, mark), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, encoding="utf-8") as file:
            members = json.load(file)
        alias, boot, backend = (str(members[key]) for key in ("attachment", "boot", "backend"))
        return Memory(alias, boot, backend, members["link"] is True)
    return None


def forget(folder: str, owner: Owner) -> None:
    """Remove the memory; none is fine. Raises OSError."""
    _unlink(folder, owner.mark)


def forget_strangers(folder: str, network: str, known: Collection[Owner]) -> None:
    """Remove the memories of every attachment of `network` that is none of the `known`. Raises OSError."""
    start, keep = f"{network_mark(network)}-", {owner.mark for owner in known}
    names = os.listdir(folder) if os.path.isdir(folder) else ()  # noqa: PTH112 - as above
    for name in names:
        if name.lstrip(".").startswith(start) and name.lstrip(".") not in keep:
            _unlink(folder, name)


def current_boot() -> str:
    """Return the id of this boot, empty where the kernel does not tell."""
    with suppress(OSError), open(BOOT_ID, encoding="ascii") as file:
        return file.read().strip()
    return ""


def _unlink(folder: str, name: str) -> None:
    """Remove a file if it is there: on a read-only file system removing nothing fails too, and DEL must not."""
    path = os.path.join(folder, name)
    if os.path.lexists(path):
        with suppress(FileNotFoundError):
            os.unlink(path)
