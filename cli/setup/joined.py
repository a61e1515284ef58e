"""Records what `tulle join` wrote on this host, so that it replaces only that: `/var/lib/tulle/join.json`.

A variable or a file is join's as long as it is what join wrote. What was edited since belongs to a person.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cli.inspect import foreign_files
from cli.inspect.detect import under
from system import atomic_file, folders

RECORD = "/var/lib/tulle/join.json"


@dataclass(frozen=True, slots=True)
class Joined:
    """What join wrote; both empty if nothing is known."""

    variables: Mapping[str, str] = field(default_factory=dict)  # that were set
    hosts: str = ""  # checksum of the hosts file

    def wrote(self, text: str) -> bool:
        """Return whether a hosts file is as join wrote it."""
        return bool(text) and self.hosts == _sum(text)


def read(root: Path) -> Joined:
    """Return the record below `root`; empty if there is none, or it cannot be read."""
    try:
        document = foreign_files.document(under(root, RECORD))
        variables = {str(name): str(value) for name, value in document["variables"].items()}
        return Joined(variables, str(document["hosts"]))
    except (OSError, foreign_files.Unfit, LookupError, TypeError, AttributeError):
        return Joined()


def write(root: Path, variables: Mapping[str, str], hosts: str) -> None:
    """Record the variables and the text of the hosts file, "" for none."""
    place = under(root, RECORD)
    folders.make(str(place.parent), 0o700)
    document = {"variables": dict(variables), "hosts": _sum(hosts) if hosts else ""}
    text = json.dumps(document, indent=1, sort_keys=True).encode()
    atomic_file.replace(str(place), text, 0o600, pending=f"{place}.new")


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
