"""A runtime for the program `flannel`: calls it in process, with a delegate that is a shell script and a lease file."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cni import skel
from meta.flannel.program import PROGRAM

LEASE = "FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.17.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=true\n"

DELEGATE = """#!/bin/sh
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME" >> {directory}/calls
cat > {directory}/stdin
cp {directory}/stdin {directory}/stdin.$CNI_COMMAND
if [ -e {directory}/broken ]; then echo '{{"code": 4711, "msg": "no"}}'; exit 1; fi
if [ "$CNI_COMMAND" = ADD ]; then echo '{{"cniVersion": "1.0.0", "ips": [{{"address": "10.1.17.2/24"}}]}}'; fi
"""


@dataclass
class Runtime:
    """What a runtime knows: a directory of programs and the configuration of one network."""

    directory: Path
    config: dict[str, Any]
    said: str = ""

    @property
    def lease(self) -> Path:
        return self.directory / "subnet.env"

    @property
    def state(self) -> Path:
        return self.directory / "state"

    def call(self, verb: str, container: str = "c1", ifname: str = "eth0", **keys: Any) -> dict[str, Any]:
        """Run one verb and return its document; an error carries `code`, no document is an empty one."""
        environ = {"CNI_COMMAND": verb, "CNI_CONTAINERID": container, "CNI_NETNS": "/n", "CNI_IFNAME": ifname}
        environ |= {"CNI_PATH": str(self.directory)}
        stdin = io.BytesIO(json.dumps({**self.config, **keys}).encode())
        out, err = io.StringIO(), io.StringIO()
        skel.run(PROGRAM, environ=environ, stdin=stdin, stdout=out, stderr=err)
        self.said = err.getvalue()
        document: dict[str, Any] = json.loads(out.getvalue() or "{}")
        return document

    def calls(self) -> list[str]:
        calls = self.directory / "calls"
        return calls.read_text().splitlines() if calls.exists() else []

    def told(self, verb: str) -> dict[str, Any]:
        """What the delegate read on stdin when it was last asked for `verb`."""
        document: dict[str, Any] = json.loads((self.directory / f"stdin.{verb}").read_bytes())
        return document

    def break_delegate(self) -> None:
        (self.directory / "broken").touch()

    def mend_delegate(self) -> None:
        (self.directory / "broken").unlink()

    def files(self) -> list[str]:
        return sorted(path.name for path in self.state.iterdir()) if self.state.exists() else []


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    program = tmp_path / "probe"
    program.write_text(DELEGATE.format(directory=tmp_path))
    program.chmod(0o755)
    (tmp_path / "subnet.env").write_text(LEASE)
    config = {
        "cniVersion": "1.1.0",
        "name": "net",
        "type": "flannel",
        "subnetFile": f"{tmp_path}/subnet.env",
        "dataDir": f"{tmp_path}/state",
        "delegate": {"type": "probe"},
    }
    return Runtime(tmp_path, config)
