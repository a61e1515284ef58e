"""Records what each attachment publishes: to prove that a container is dead, and so that DEL needs no configuration.

One small file per attachment, named by its mark. It may be lost in a power failure: without a record a container counts
as alive. An error of the disk is only logged; it refuses no container.
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
"""random(4): a UUID that the kernel makes at each boot."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The record of one attachment."""

    alias: str  # alias of its link
    boot: str  # id of the boot in which it was made
    backend: str  # that has its rules
    named_link: bool  # its host end had the alias


@dataclass(frozen=True, slots=True)
class Memories:
    """The records of all attachments."""

    folder: str  # the directory
    log: Callable[[str], object]  # gets the errors of the disk

    def remember(self, owner: AttachmentID, memory: Memory) -> None:
        """Write a record in one step, in a file of mode 0600 in a directory of mode 0700."""
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
        """Return the record of the attachment with this mark; None when there is none, or it cannot be read."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            with open(os.open(os.path.join(self.folder, mark), flags), encoding="utf-8") as file:
                members = json.load(file)
            alias, boot, backend = (str(members[key]) for key in ("attachment", "boot", "backend"))
            return Memory(alias, boot, backend, members["link"] is True)
        return None

    @property
    def serve(self) -> bool:
        """Whether records could be written. Then no record means that nothing is published."""
        place = self.folder
        while not os.path.lexists(place) and place not in ("", "/"):
            place = os.path.dirname(place)
        return os.access(place or "/", os.W_OK)

    def forget(self, owner: AttachmentID) -> None:
        """Delete a record, and a temporary file that a killed ADD left. Absence is success."""
        for path in self._paths(owner):
            self._unlink(path)

    def forget_strangers(self, network: str, known: Collection[AttachmentID]) -> None:
        """Delete the records of every attachment of `network` that is not among the `known`."""
        start, keep = f"{network_mark(network)}-", {owner.mark for owner in known}
        with self._told(self.folder, "what it remembers stays"):
            names = os.listdir(self.folder) if os.path.isdir(self.folder) else ()  # noqa: PTH112 - as above
            for name in names:
                if name.lstrip(".").startswith(start) and name.lstrip(".") not in keep:
                    self._unlink(os.path.join(self.folder, name))

    def _paths(self, owner: AttachmentID) -> tuple[str, str]:
        """Return the path of an attachment's record, and of the temporary file."""
        return os.path.join(self.folder, owner.mark), os.path.join(self.folder, f".{owner.mark}")

    def _unlink(self, path: str) -> None:
        """Delete a file if it exists: on a read-only file system deleting an absent file fails, too."""
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
    """Return the id of this boot; empty where the kernel has none."""
    with suppress(OSError), open(BOOT_ID, encoding="ascii") as file:
        return file.read().strip()
    return ""
