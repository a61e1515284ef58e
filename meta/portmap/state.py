"""Remembers what is published for whom, so that a mapping in the way can be proved dead and DEL needs no configuration.

One small file an attachment, named by its mark. It need not survive a power failure: what is not remembered counts as
alive. Nor is it worth a container's start or end: what the disk refuses is logged. Must not know rules.
"""
# pathlib costs milliseconds that every container's start would pay:
# ruff: noqa: PTH105, PTH108, PTH118, PTH120, PTH123, PTH208

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from cni.attachment_id import AttachmentID, network_mark
from system import folders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

BOOT_ID = "/proc/sys/kernel/random/boot_id"
"""random(4): a UUID that the kernel draws once when it starts."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Whose it is (the link alias), which boot it was, the backend that has the rules, whether the host end had the alias."""

    alias: str
    boot: str
    backend: str
    named_link: bool


@dataclass(frozen=True, slots=True)
class Memories:
    """The directory `folder` of memories; `log` is told what the disk refuses."""

    folder: str
    log: Callable[[str], object]

    def remember(self, owner: AttachmentID, memory: Memory) -> None:
        """Put a memory in place in one step, file 0600 in a directory made 0700."""
        path, pending = self._paths(owner)
        members = {
            "attachment": memory.alias,
            "boot": memory.boot,
            "backend": memory.backend,
            "link": memory.named_link,
        }
        with self._told(self.folder, "without it a port in the way is kept, and DEL needs the mappings"):
            folders.make(self.folder, 0o700)
            try:
                with suppress(FileNotFoundError):
                    os.unlink(pending)
                descriptor = os.open(pending, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with open(descriptor, "w", encoding="utf-8") as file:
                    json.dump(members, file)
                os.replace(pending, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(pending)
                raise

    def recall(self, mark: str) -> Memory | None:
        """Return what is remembered of the attachment with this mark; None for nothing, or for what cannot be read."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            with open(os.open(os.path.join(self.folder, mark), flags), encoding="utf-8") as file:
                members = json.load(file)
            alias, boot, backend = (str(members[key]) for key in ("attachment", "boot", "backend"))
            return Memory(alias, boot, backend, members["link"] is True)
        return None

    @property
    def serve(self) -> bool:
        """Whether memories could be written, so that nothing remembered means nothing published."""
        place = self.folder
        while not os.path.lexists(place) and place not in ("", "/"):
            place = os.path.dirname(place)
        return os.access(place or "/", os.W_OK)

    def forget(self, owner: AttachmentID) -> None:
        """Remove a memory, and what a killed ADD may have left of one; none is fine."""
        for path in self._paths(owner):
            self._unlink(path)

    def forget_strangers(self, network: str, known: Collection[AttachmentID]) -> None:
        """Remove the memories of every attachment of `network` that is none of the `known`."""
        start, keep = f"{network_mark(network)}-", {owner.mark for owner in known}
        with self._told(self.folder, "what it remembers stays"):
            names = os.listdir(self.folder) if os.path.isdir(self.folder) else ()  # noqa: PTH112 - as above
            for name in names:
                if name.lstrip(".").startswith(start) and name.lstrip(".") not in keep:
                    self._unlink(os.path.join(self.folder, name))

    def _paths(self, owner: AttachmentID) -> tuple[str, str]:
        """Return where an attachment's memory is, and where it is written first."""
        return os.path.join(self.folder, owner.mark), os.path.join(self.folder, f".{owner.mark}")

    def _unlink(self, path: str) -> None:
        """Remove a file if it is there: on a read-only file system removing nothing fails too."""
        if os.path.lexists(path):
            with self._told(path, "it stays"), suppress(FileNotFoundError):
                os.unlink(path)

    @contextmanager
    def _told(self, path: str, consequence: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.log(f"portmap's memory {error.filename or path}: {error.strerror or error}; {consequence}")


def current_boot() -> str:
    """Return the id of this boot, empty where the kernel does not tell."""
    with suppress(OSError), open(BOOT_ID, encoding="ascii") as file:
        return file.read().strip()
    return ""
