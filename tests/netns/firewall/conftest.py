"""A runtime for the programs `portmap` and `firewall`: a private host with two bridges, an outside world, containers by hand."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

import meta.firewall.program
import meta.portmap.program
from cni import skel
from kernel import netns, sysctl
from kernel.firewall import iptables, nft
from kernel.netlink.requests import AddAddress, AddBridge, AddVeth, SetLink
from tests.netns.portmap import conftest as ports
from tests.netns.spaces import Space, cable

PROGRAMS = {"firewall": meta.firewall.program.PROGRAM, "portmap": meta.portmap.program.PROGRAM}
BRIDGES = ("br1", "br2")
UPLINK, OUTSIDE, OUTSIDE_SIX = "192.0.2.1", "192.0.2.2", "2001:db8::2"


@dataclass
class Container:
    """An attachment as a bridge program leaves it: a veth, an address of each family, the result so far."""

    space: Space
    bridge: str
    number: int

    @property
    def name(self) -> str:
        return f"c{self.number}"

    @property
    def host_end(self) -> str:
        return f"veth{self.number}"

    @property
    def four(self) -> str:
        return f"10.{self.bridge[2:]}.0.{self.number}"

    @property
    def six(self) -> str:
        return f"fd00:{self.bridge[2:]}::{self.number:x}"

    @property
    def result(self) -> dict[str, Any]:
        return {
            "cniVersion": "1.0.0",
            "interfaces": [
                {"name": self.bridge},
                {"name": self.host_end},
                {"name": "eth0", "sandbox": self.space.path},
            ],
            "ips": [
                {"address": f"{self.four}/24", "interface": 2},
                {"address": f"{self.six}/64", "interface": 2},
            ],
            "dns": {"nameservers": ["10.1.0.1"]},
            "who/knows": [1],
        }


@dataclass
class Runtime:
    """What a runtime knows, and what the host shows."""

    host: Space
    directory: Path
    make_space: Callable[[str], Space]
    stack: ExitStack
    config: dict[str, Any] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=lambda: {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/none"})

    def call(
        self,
        verb: str,
        container: Container | None = None,
        program: str = "firewall",
        ifname: str = "eth0",
        **keys: Any,
    ) -> dict[str, Any]:
        """Run one verb and return its document; an error carries `code`, no document is an empty one."""
        name, path = (container.name, container.space.path) if container else ("c5", "/run/netns/gone")
        environ = {"CNI_COMMAND": verb, "CNI_CONTAINERID": name, "CNI_IFNAME": ifname, "CNI_PATH": "/none"}
        environ |= {"CNI_NETNS": path, **self.environ}
        stdin = {"prevResult": container.result if container else None, **self.config, "type": program, **keys}
        out = io.StringIO()
        with netns.inside(self.host.namespace):
            skel.run(
                PROGRAMS[program],
                environ=environ,
                stdin=io.BytesIO(json.dumps(stdin).encode()),
                stdout=out,
                stderr=io.StringIO(),
            )
        document: dict[str, Any] = json.loads(out.getvalue() or "{}")
        return document

    def add(self, container: Container, program: str = "firewall", **keys: Any) -> dict[str, Any]:
        """Run an ADD that must succeed."""
        answer = self.call("ADD", container, program, **keys)
        assert "code" not in answer, answer
        return answer

    def publish(self, container: Container, host_port: int) -> None:
        """Publish the container's port 80."""
        mapping = {"hostPort": host_port, "containerPort": 80, "protocol": "tcp"}
        memory = str(self.directory / "memory")
        self.add(container, "portmap", runtimeConfig={"portMappings": [mapping]}, dataDir=memory)

    def container(self, number: int = 5, bridge: str = "br1") -> Container:
        """Make a container on a bridge."""
        made = Container(self.make_space(f"c{number}"), bridge, number)
        self.host.network.apply(AddVeth(made.host_end, "eth0", made.space.namespace))
        self.host.network.apply(SetLink(made.host_end, master=self.host.index(bridge), up=True, hairpin=True))
        made.space.network.apply(SetLink("eth0", up=True))
        link = made.space.index("eth0")
        for address, length in ((made.four, 24), (made.six, 64)):
            made.space.network.apply(AddAddress(link, ip_interface(f"{address}/{length}"), nodad=True))
            gateway = f"{address.rpartition('.')[0]}.1" if length == 24 else f"{address.rpartition(':')[0]}:1"
            made.space.run("ip", "route", "add", "default", "via", gateway)
        return made

    def serving(self, number: int, bridge: str) -> Container:
        """Make a container that answers at port 80."""
        made = self.container(number, bridge)
        ports.serve(self, made.space, 80, made.name)  # type: ignore[arg-type]  # it needs the stack only
        return made

    def legacy(self, family: int = 4) -> list[str]:
        """The filter rules and chains, as iptables prints them."""
        lines = self.host.run(iptables.PROGRAMS[family], "-t", "filter", "-S").splitlines()
        return [line for line in lines if not line.startswith("-P ")]

    def modern(self) -> list[dict[str, Any]]:
        """The objects of the nftables table."""
        return nft.listing("inet", "cni_firewall", self.host.namespace)

    def text(self) -> str:
        """The nftables table as people read it."""
        return self.host.run("nft", "list", "table", "inet", "cni_firewall")

    def left(self) -> list[str]:
        """Every rule that lets a container through or names it, of both backends."""
        lines = [line for family in (4, 6) for line in self.legacy(family)]
        legacy = [line for line in lines if "-j ACCEPT" in line or line.startswith("-A CNI-FORWARD-OWNERS")]
        return legacy + [item["rule"]["comment"] for item in self.modern() if "comment" in item.get("rule", {})]


@pytest.fixture
def runtime(host: Space, make_space: Callable[[str], Space], tmp_path: Path) -> Iterator[Runtime]:
    for bridge in BRIDGES:
        host.network.apply(AddBridge(bridge))
        host.network.apply(SetLink(bridge, up=True))
        for address in (f"10.{bridge[2:]}.0.1/24", f"fd00:{bridge[2:]}::1/64"):
            host.network.apply(AddAddress(host.index(bridge), ip_interface(address), nodad=True))
    for key in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        sysctl.write(key, "1", host.namespace)
    with ExitStack() as stack:
        yield Runtime(host, tmp_path, make_space, stack, {"cniVersion": "1.0.0", "name": "net"})


@pytest.fixture(params=["iptables", "nftables"])
def each(request: pytest.FixtureRequest, runtime: Runtime) -> Runtime:
    """The runtime with each backend in turn."""
    runtime.config["backend"] = request.param
    return runtime


@pytest.fixture
def outside(runtime: Runtime) -> Space:
    """A stranger on the host's uplink."""
    space = runtime.make_space("outside")
    cable(runtime.host, f"up0={UPLINK}/24", space, f"eth0={OUTSIDE}/24")
    for where, link, address in ((runtime.host, "up0", "2001:db8::1/64"), (space, "eth0", f"{OUTSIDE_SIX}/64")):
        where.network.apply(AddAddress(where.index(link), ip_interface(address), nodad=True))
    for gateway in (UPLINK, "2001:db8::1"):
        space.run("ip", "route", "add", "default", "via", gateway)
    return space
