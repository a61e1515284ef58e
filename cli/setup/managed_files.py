"""Writes and removes files in other programs' directories, and records which are ours: `/var/lib/tulle/init.json`.

A file is ours as long as it is what was written. One that was edited since belongs to whoever edited it. The record is
written first, so that after a crash every file of ours is in it.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cli.inspect import foreign_files
from cli.inspect.detect import under
from system import atomic_file, folders

RECORD = "/var/lib/tulle/init.json"
KICK = ".tulle-kick"
"""Made and removed beside a configuration: containerd may miss a rename, but not this."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of the machine."""

    path: str
    content: str


class NotOurs(Exception):  # noqa: N818 - a state of the machine
    """A file that was not written here, or was edited since."""


class ManagedFiles:
    """The files of ours below `root`. Raises NotOurs and OSError."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._record = under(root, RECORD)
        self._sums = _sums(self._record)

    def recorded(self) -> tuple[str, ...]:
        """Return every recorded path, also of files that are gone."""
        return tuple(sorted(self._sums))

    def paths(self) -> tuple[str, ...]:
        """Return the recorded paths whose files still exist."""
        return tuple(path for path in self.recorded() if under(self._root, path).exists())

    def refuse(self, files: Iterable[File]) -> None:
        """Raise NotOurs for the first of the files that is another program's."""
        for file in files:
            if not self._may(file):
                edited = "was edited since" if file.path in self._sums else "was not written by tulle init"
                raise NotOurs(f"{file.path} {edited} and stays as it is; move it away to have it written anew")

    def stands(self, file: File) -> bool:
        """Return whether a file already has its content."""
        found = under(self._root, file.path)
        return found.is_file() and found.read_bytes() == file.content.encode()

    def write(self, file: File) -> None:
        """Write a file in one step, and make watchers notice it."""
        place = under(self._root, file.path)
        folders.make(str(place.parent))
        self._remember({**self._sums, file.path: _sum(file.content.encode())})
        atomic_file.replace(
            str(place), file.content.encode(), 0o644, pending=str(place.with_name(f".{place.name}.new"))
        )
        kick = place.with_name(KICK)
        kick.touch()
        kick.unlink()

    def remove(self, path: str) -> bool:
        """Remove a file. Return False if it was edited, and stays.

        Directories stay: containerd does not notice a new one.
        """
        place = under(self._root, path)
        if place.exists() and _sum(place.read_bytes()) != self._sums.get(path):
            return False
        place.unlink(missing_ok=True)
        self._remember({known: each for known, each in self._sums.items() if known != path})
        return True

    def _may(self, file: File) -> bool:
        place = under(self._root, file.path)
        if not place.exists() and not place.is_symlink():
            return True
        return place.is_file() and not place.is_symlink() and _sum(place.read_bytes()) == self._sums.get(file.path)

    def _remember(self, sums: dict[str, str]) -> None:
        self._sums = sums
        if not sums:
            self._record.unlink(missing_ok=True)
            return
        folders.make(str(self._record.parent), 0o700)
        text = json.dumps(sums, indent=1, sort_keys=True).encode()
        atomic_file.replace(str(self._record), text, 0o600, pending=f"{self._record}.new")


def _sums(record: Path) -> dict[str, str]:
    """Return the checksums in a record, by path.

    Raises NotOurs if it cannot be parsed, OSError if it cannot be read.
    """
    try:
        return {str(path): str(each) for path, each in foreign_files.document(record).items()}
    except FileNotFoundError:
        return {}
    except (foreign_files.Unfit, AttributeError) as wrong:
        raise NotOurs(f"{record} cannot be read ({wrong}): move it away, and remove by hand what init wrote") from None


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
