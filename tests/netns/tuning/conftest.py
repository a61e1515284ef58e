"""A runtime for the program `tuning`: a container with a veth, made by hand, and the reference program beside ours."""

import io
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cni import skel
from kernel import sysctl
from kernel.netlink.objects import Link
from kernel.netlink.requests import AddVeth, SetLink
from meta.tuning.program import PROGRAM
from tests.netns.spaces import Space

REFERENCE = Path("/usr/lib/cni/tuning")
MAC = "c2:11:22:33:44:55"
LINK: dict[str, Any] = {"mac": MAC, "mtu": 1454, "promisc": True, "allmulti": True}
PORTS, RESERVED = "net/ipv4/ip_local_port_range", "net/ipv4/ip_local_reserved_ports"
SYSCTLS: dict[str, Any] = {"net.ipv4.ip_local_port_range": "2000 3000", "net.ipv4.conf.IFNAME.log_martians": "1"}


@dataclass
class Runtime:
    """What a runtime knows, and what the container shows."""

    container: Space
    folder: Path
    config: dict[str, Any] = field(default_factory=dict)

    def call(self, verb: str, *, theirs: bool = False, netns: str = "", **keys: Any) -> dict[str, Any]:
        """Run one verb and return its document; an error carries `code`, no document is an empty one."""
        environ = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": "c1",
            "CNI_IFNAME": "eth0",
            "CNI_NETNS": netns or self.container.path,
            "CNI_PATH": str(REFERENCE.parent),
        }
        stdin = json.dumps({**self.config, **keys}).encode()
        if theirs:
            done = subprocess.run(
                [REFERENCE], input=stdin, stdout=subprocess.PIPE, env=environ, timeout=30, check=False
            )
            text = done.stdout.decode()
        else:
            out = io.StringIO()
            skel.run(PROGRAM, environ=environ, stdin=io.BytesIO(stdin), stdout=out, stderr=io.StringIO())
            text = out.getvalue()
        document: dict[str, Any] = json.loads(text or "{}")
        return document

    def add(self, *, theirs: bool = False, **keys: Any) -> dict[str, Any]:
        """Run an ADD that must succeed."""
        answer = self.call("ADD", theirs=theirs, **keys)
        assert "code" not in answer, answer
        return answer

    @property
    def link(self) -> Link:
        """The interface."""
        found = self.container.network.link("eth0")
        assert found
        return found

    @property
    def state(self) -> tuple[Any, ...]:
        """Everything the program can change here."""
        link = self.link
        values = [self.value(key) for key in (PORTS, RESERVED, "net/ipv4/conf/eth0/log_martians")]
        return (link.mac, link.mtu, link.promisc, link.all_multicast, link.queue, *values)

    @property
    def files(self) -> list[str]:
        """What is remembered."""
        return sorted(each.name for each in self.folder.iterdir()) if self.folder.is_dir() else []

    def value(self, key: str) -> str | None:
        """A kernel parameter of the container."""
        return sysctl.read(key, self.container.namespace)


@pytest.fixture
def runtime(container: Space, tmp_path: Path) -> Runtime:
    container.network.apply(AddVeth("veth1", "eth0", container.namespace))
    container.network.apply(SetLink("eth0", up=True))
    result = {
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "br0"}, {"name": "eth0", "mac": "02:00:00:00:00:01", "mtu": 1500, "sandbox": "/x"}],
        "who/knows": [1],
    }
    config = {"cniVersion": "1.1.0", "name": "net", "type": "tuning", "dataDir": str(tmp_path / "data")}
    return Runtime(container, tmp_path / "data", {**config, "prevResult": result})
