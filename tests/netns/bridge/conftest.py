"""A runtime for the program `bridge`: calls it in process, in a private host, with an IPAM program of three lines."""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bridge.program import PROGRAM
from cni import skel
from kernel import netns as namespaces
from kernel.firewall import nft
from tests.netns.spaces import Space

FOUR = {"address": "10.42.7.5/24", "gateway": "10.42.7.1"}
SIX = {"address": "fd00:42:0:7::5/64", "gateway": "fd00:42:0:7::1"}

LEASE = """FLANNEL_NETWORK=10.42.0.0/16
FLANNEL_SUBNET=10.42.7.1/24
FLANNEL_MTU=1450
FLANNEL_IPMASQ=false
"""

IPAM = """#!/bin/sh
echo "$CNI_COMMAND $CNI_CONTAINERID" >> {directory}/calls
cat > /dev/null
if [ "$CNI_COMMAND" = ADD ]; then cat {directory}/answer; fi
"""


@dataclass
class Runtime:
    """What a runtime knows: the host, a directory of programs, and the configuration of one network."""

    host: Space
    directory: Path
    config: dict[str, Any] = field(default_factory=dict)

    def ipam_answers(self, *ips: dict[str, Any], routes: tuple[dict[str, Any], ...] = ()) -> None:
        (self.directory / "answer").write_text(json.dumps({"cniVersion": "1.0.0", "ips": ips, "routes": routes}))

    def ipam_calls(self) -> list[str]:
        calls = self.directory / "calls"
        return calls.read_text().splitlines() if calls.exists() else []

    def call(
        self, verb: str, netns: str, *, container: str = "c1", ifname: str = "eth0", args: str = "", **keys: Any
    ) -> dict[str, Any]:
        """Run one verb and return its document; an error carries `code`, no document is an empty one."""
        environ = {"CNI_COMMAND": verb, "CNI_CONTAINERID": container, "CNI_NETNS": netns, "CNI_IFNAME": ifname}
        environ |= {"CNI_PATH": str(self.directory), "CNI_ARGS": args}
        stdin = io.BytesIO(json.dumps({**self.config, **keys}).encode())
        out = io.StringIO()
        with namespaces.inside(self.host.namespace):
            skel.run(PROGRAM, environ=environ, stdin=stdin, stdout=out, stderr=io.StringIO())
        document: dict[str, Any] = json.loads(out.getvalue() or "{}")
        return document

    def masquerade(self) -> list[dict[str, Any]]:
        """The masquerade rules, as libnftables JSON."""
        listed = nft.listing("inet", "cni_plugins_masquerade", self.host.namespace)
        return [item["rule"] for item in listed if item.get("rule", {}).get("chain") == "masq_checks"]

    def veths(self) -> list[str]:
        """The aliases of the host ends."""
        return [link.alias for link in self.host.network.links() if link.kind == "veth"]


@pytest.fixture
def runtime(host: Space, tmp_path: Path) -> Runtime:
    program = tmp_path / "fake-ipam"
    program.write_text(IPAM.format(directory=tmp_path))
    program.chmod(0o755)
    config = {"cniVersion": "1.0.0", "name": "net", "type": "bridge", "bridge": "br0", "isDefaultGateway": True}
    config |= {"ipMasqBackend": "nftables"}
    made = Runtime(host, tmp_path, {**config, "ipam": {"type": "fake-ipam"}})
    made.ipam_answers(FOUR)
    return made


@pytest.fixture
def lease(tmp_path: Path) -> str:
    path = tmp_path / "subnet.env"
    path.write_text(LEASE)
    return str(path)


def add(runtime: Runtime, container: Space, **keys: Any) -> dict[str, Any]:
    result = runtime.call("ADD", container.path, **keys)
    assert "code" not in result, result
    return result
