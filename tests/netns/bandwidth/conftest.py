"""A runtime for the program `bandwidth`: a private host, and containers on a veth each, made by hand."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_interface
from typing import Any

import pytest

from cni import skel
from kernel import netns
from kernel.netlink.requests import AddAddress, AddVeth, SetLink
from meta.bandwidth.program import PROGRAM
from tests.netns.spaces import Space

BOTH = {"ingressRate": 8_000_000, "ingressBurst": 80_000, "egressRate": 16_000_000, "egressBurst": 80_000}


@dataclass
class Container:
    """An attachment as a main program leaves it: a veth, an address of each family on either end, the result so far."""

    space: Space
    name: str
    number: int
    ifname: str = "eth0"

    @property
    def result(self) -> dict[str, Any]:
        interfaces = [
            {"name": "br0"},
            {"name": f"veth{self.number}"},
            {"name": self.ifname, "sandbox": self.space.path},
        ]
        ips = [{"address": f"10.{self.number}.0.2/24", "interface": 2}]
        return {"cniVersion": "1.0.0", "interfaces": interfaces, "ips": ips, "who/knows": [1]}


@dataclass
class Runtime:
    """What a runtime knows, and what the host shows."""

    host: Space
    make_space: Callable[[str], Space]
    config: dict[str, Any] = field(default_factory=dict)

    def call(self, verb: str, container: Container | None = None, **keys: Any) -> dict[str, Any]:
        """Run one verb and return its document; an error carries `code`, no document is an empty one."""
        environ = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": container.name if container else "c1",
            "CNI_IFNAME": container.ifname if container else "eth0",
            "CNI_NETNS": container.space.path if container else "/run/netns/gone",
            "CNI_PATH": "/none",
        }
        stdin = {**self.config, **keys}
        if container and "prevResult" not in keys:
            stdin["prevResult"] = container.result
        out = io.StringIO()
        with netns.inside(self.host.namespace):
            data = io.BytesIO(json.dumps(stdin).encode())
            skel.run(PROGRAM, environ=environ, stdin=data, stdout=out, stderr=io.StringIO())
        document: dict[str, Any] = json.loads(out.getvalue() or "{}")
        return document

    def add(self, container: Container, **keys: Any) -> dict[str, Any]:
        """Run an ADD that must succeed."""
        answer = self.call("ADD", container, **keys)
        assert "code" not in answer, answer
        return answer

    def container(self, number: int = 1, space: Space | None = None, ifname: str = "eth0") -> Container:
        """Make a container, or a further interface in the network namespace of one."""
        made = Container(space or self.make_space(f"c{number}"), "c1" if space else f"c{number}", number, ifname)
        self.host.network.apply(AddVeth(f"veth{number}", ifname, made.space.namespace, mtu=1400))
        made.space.network.apply(SetLink(ifname, up=True))
        for where, name, last in ((self.host, f"veth{number}", 1), (made.space, ifname, 2)):
            for text in (f"10.{number}.0.{last}/24", f"fd00:{number}::{last}/64"):
                where.network.apply(AddAddress(where.index(name), ip_interface(text), nodad=True))
        return made

    def ifbs(self) -> dict[str, str]:
        """The ifbs of the host by name, with what they say whose they are."""
        return {link.name: link.alias for link in self.host.network.links() if link.kind == "ifb"}

    def qdiscs(self, link: str) -> list[str]:
        """The qdiscs of a link, as tc(8) prints them."""
        return self.host.run("tc", "qdisc", "show", "dev", link).splitlines()


@pytest.fixture
def runtime(host: Space, make_space: Callable[[str], Space]) -> Runtime:
    return Runtime(host, make_space, {"cniVersion": "1.0.0", "name": "net", "type": "bandwidth"})
