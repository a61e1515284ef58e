"""Remembers what `tulle join` wrote on this host, so that it may replace it and nothing else: `/var/lib/tulle/join.json`.

A variable or a file is join's while it says what join wrote; what was edited since is a person's. Must not know what either says.
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
    """The variables that were set, and the sum of the hosts file that was written; both empty where nothing is known."""

    variables: Mapping[str, str] = field(default_factory=dict)
    hosts: str = ""

    def wrote(self, text: str) -> bool:
        """Tell whether a hosts file is as it was written."""
        return bool(text) and self.hosts == _sum(text)


def read(root: Path) -> Joined:
    """Return what is remembered below `root`; nothing where there is no record, or one that cannot be read."""
    try:
        document = foreign_files.document(under(root, RECORD))
        variables = {str(name): str(value) for name, value in document["variables"].items()}
        return Joined(variables, str(document["hosts"]))
    except (OSError, foreign_files.Unfit, LookupError, TypeError, AttributeError):
        return Joined()


def write(root: Path, variables: Mapping[str, str], hosts: str) -> None:
    """Remember the variables and the text of the hosts file, "" for none."""
    place = under(root, RECORD)
    folders.make(str(place.parent), 0o700)
    document = {"variables": dict(variables), "hosts": _sum(hosts) if hosts else ""}
    text = json.dumps(document, indent=1, sort_keys=True).encode()
    atomic_file.replace(str(place), text, 0o600, pending=f"{place}.new")


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
