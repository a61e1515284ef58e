"""CNI programs of three lines, real processes, that write down how they were called and answer what a test says."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from driver import name_server, register
from driver.plugin import Surroundings

SCRIPT = """#!/bin/sh
echo "${{0##*/}} $CNI_COMMAND $CNI_NETNS $CNI_IFNAME" >> {folder}/calls
cat > {folder}/$(basename $0).$CNI_COMMAND
[ ! -e {folder}/$(basename $0).refuses.$CNI_COMMAND ] || {{ cat {folder}/$(basename $0).refuses.$CNI_COMMAND; exit 1; }}
if [ "$CNI_COMMAND" = ADD ]; then cat {folder}/answer; fi
"""


@dataclass
class Programs:
    """A directory of programs `bridge` and `portmap`."""

    folder: Path

    def calls(self) -> list[str]:
        """Return `PROGRAM VERB NETNS IFNAME` of every call so far."""
        written = self.folder / "calls"
        return written.read_text().splitlines() if written.exists() else []

    def told(self, program: str, verb: str) -> Any:
        """Return what a program was last told on stdin."""
        return json.loads((self.folder / f"{program}.{verb}").read_text())

    def refuse(self, program: str, verb: str, msg: str) -> None:
        """Have a program refuse a verb from now on."""
        (self.folder / f"{program}.refuses.{verb}").write_text(json.dumps({"code": 7, "msg": msg}))

    def around(self, *said: list[str]) -> Surroundings:
        """Return surroundings whose lines for people go to `said`."""
        log = said[0].append if said else print
        return Surroundings(str(self.folder), {"PATH": "/usr/bin:/bin"}, log)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.setattr(name_server, "PLACES", ())  # a real name server would listen on this machine
    monkeypatch.setattr(register, "FOLDER", str(tmp_path / "names"))
    for name in ("bridge", "portmap"):
        (tmp_path / name).write_text(SCRIPT.format(folder=tmp_path))
        (tmp_path / name).chmod(0o755)
    interfaces = [{"name": "tulle0"}, {"name": "lan0", "mac": "02:00:00:00:00:09", "sandbox": "/run/netns/one"}]
    ips = [{"address": "10.42.7.9/24", "gateway": "10.42.7.1", "interface": 1}]
    answer = {"cniVersion": "1.1.0", "interfaces": interfaces, "ips": ips}
    (tmp_path / "answer").write_text(json.dumps(answer))
    return Programs(tmp_path)
