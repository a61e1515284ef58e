"""The built static, as a runtime runs it: a process, an environment, stdin and stdout.

Claims: it answers from any directory with nothing but CNI_* in its environment; a refusal is one JSON document; nothing is
left anywhere.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cni.versions import SUPPORTED


def ask(executable: Path, verb: str, version: str, addresses: Any, cwd: Path) -> tuple[int, Any]:
    ipam = {"type": "static", "addresses": addresses, "routes": [{"dst": "0.0.0.0/0"}]}
    document = {"cniVersion": version, "name": "lan", "type": "bridge", "ipam": ipam}
    environ = {"CNI_CONTAINERID": "abc", "CNI_NETNS": "/none", "CNI_IFNAME": "eth0", "CNI_PATH": "/"}
    done = subprocess.run(
        [executable],
        input=json.dumps(document).encode(),
        env={**environ, "CNI_COMMAND": verb},
        cwd=cwd,
        capture_output=True,
        check=False,
        timeout=30,
    )
    answer: Any = json.loads(done.stdout) if done.stdout else None
    remedy = answer.get("remedy", "") if done.returncode else ""
    assert done.stderr.decode().count("\n") == bool(remedy)  # a refusal's remedy, and nothing else
    assert remedy in done.stderr.decode()
    return done.returncode, answer


@pytest.mark.parametrize("version", SUPPORTED)
def test_a_life_in_every_version(program: Callable[[str], Path], tmp_path: Path, version: str) -> None:
    addresses = [{"address": "10.10.0.5/24", "gateway": "10.10.0.1"}]
    status, answer = ask(program("static"), "ADD", version, addresses, tmp_path)
    found = answer["ip4"]["ip"] if version < "0.3" else answer["ips"][0]["address"]
    assert (status, answer["cniVersion"], found) == (0, version, "10.10.0.5/24")
    assert ask(program("static"), "DEL", version, addresses, tmp_path) == (0, None)
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_one_document(program: Callable[[str], Path], tmp_path: Path) -> None:
    status, answer = ask(program("static"), "ADD", "1.0.0", [{"address": "10.10.0.5"}], tmp_path)
    assert (status, answer["code"]) == (1, 7)
    assert answer["msg"] == "the 'address' field is expected to be in CIDR notation, got: '10.10.0.5'"
