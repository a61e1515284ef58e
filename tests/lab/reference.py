"""Where the reference programs of build/reference.sh are; what is absent is skipped with its name, and a failure in CI."""

import os
from pathlib import Path

import pytest

from tests.lab.daemon import ROOT


def program(name: str) -> Path:
    """Return a reference program by its name in the table of build/reference.sh."""
    path = ROOT / ".reference" / "bin" / name
    if not path.is_file():
        reason = f"{name} is absent: `sh build/reference.sh {name}` builds it where a Go toolchain is"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return path
