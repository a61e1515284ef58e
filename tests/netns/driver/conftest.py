"""Has these tests run the aardvark-dns of Debian's next suite, which goes with a netavark that knows drivers.

Debian 12's own (1.4) may lose a SIGHUP that follows its start closely.
"""

from pathlib import Path

import pytest

from driver import name_server
from tests.lab import netavark


@pytest.fixture(autouse=True)
def newer_name_server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    netavark.require("usr/lib/podman/aardvark-dns")
    program = netavark.name_server(tmp_path_factory.mktemp("program"))
    monkeypatch.setattr(name_server, "PLACES", (str(program.parent),))
    return program
