"""A runtime for the program `portmap`: a private host with a bridge, an outside world, and containers made by hand."""

import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from cni import skel
from kernel import netns, sysctl
from kernel.firewall import iptables, nft
from kernel.netlink.requests import AddAddress, AddBridge, AddVeth, SetLink
from meta.portmap.program import PROGRAM
from tests.netns.spaces import Space, cable

UPLINK, SECOND, SECOND_SIX = "192.0.2.1", "192.0.2.50", "2001:db8::50"
OUTSIDE, OUTSIDE_SIX = "192.0.2.2", "2001:db8::2"
PATIENCE = 5.0
REFUSAL = 0.3
"""Seconds after which a packet that nobody answers counts as dropped."""


@dataclass
class Container:
    """An attachment as a bridge program leaves it: a veth, an address of each family, the result so far."""

    space: Space
    name: str
    number: int

    @property
    def four(self) -> str:
        return f"10.1.0.{self.number}"

    @property
    def six(self) -> str:
        return f"fd00:1::{self.number:x}"

    @property
    def result(self) -> dict[str, Any]:
        return {
            "cniVersion": "1.0.0",
            "interfaces": [
                {"name": "br0"},
                {"name": f"veth{self.number}"},
                {"name": "eth0", "sandbox": self.space.path},
            ],
            "ips": [
                {"address": f"{self.four}/24", "gateway": "10.1.0.1", "interface": 2},
                {"address": f"{self.six}/64", "gateway": "fd00:1::1", "interface": 2},
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

    def call(
        self,
        verb: str,
        container: Container | None = None,
        *mappings: dict[str, Any],
        ifname: str = "eth0",
        **keys: Any,
    ) -> dict[str, Any]:
        """Run one verb and return its document; an error carries `code`, no document is an empty one."""
        name = container.name if container else "c1"
        environ = {"CNI_COMMAND": verb, "CNI_CONTAINERID": name, "CNI_IFNAME": ifname, "CNI_PATH": "/none"}
        environ["CNI_NETNS"] = container.space.path if container else "/run/netns/gone"
        stdin = {**self.config, **keys}
        if mappings:
            stdin["runtimeConfig"] = {"portMappings": list(mappings)}
        if container and "prevResult" not in keys:
            stdin["prevResult"] = container.result
        out = io.StringIO()
        with netns.inside(self.host.namespace):
            skel.run(
                PROGRAM,
                environ=environ,
                stdin=io.BytesIO(json.dumps(stdin).encode()),
                stdout=out,
                stderr=io.StringIO(),
            )
        document: dict[str, Any] = json.loads(out.getvalue() or "{}")
        return document

    def add(self, container: Container, *mappings: dict[str, Any], **keys: Any) -> dict[str, Any]:
        """Run an ADD that must succeed."""
        answer = self.call("ADD", container, *mappings, **keys)
        assert "code" not in answer, answer
        return answer

    def container(self, number: int = 5, *, alias: str = "") -> Container:
        """Make a container on the bridge."""
        made = Container(self.make_space(f"c{number}"), f"c{number - 4}", number)
        network, host_end = self.host.network, f"veth{number}"
        network.apply(AddVeth(host_end, "eth0", made.space.namespace))
        network.apply(SetLink(host_end, master=self.host.index("br0"), up=True, alias=alias, hairpin=True))
        made.space.network.apply(SetLink("eth0", up=True))
        link = made.space.index("eth0")
        for address, gateway in ((f"{made.four}/24", "10.1.0.1"), (f"{made.six}/64", "fd00:1::1")):
            made.space.network.apply(AddAddress(link, ip_interface(address), nodad=True))
            made.space.run("ip", "route", "add", "default", "via", gateway)
        return made

    def nat(self, family: int = 4) -> list[str]:
        """The nat rules that are anybody's, as iptables prints them."""
        lines = self.host.run(iptables.PROGRAMS[family], "-t", "nat", "-S").splitlines()
        return [line for line in lines if not line.startswith("-P ")]

    def containers_nat(self) -> list[str]:
        """Those of them that belong to containers, of both families."""
        return [line for family in (4, 6) for line in self.nat(family) if "CNI-DN-" in line]

    def modern(self, family: str = "ip") -> list[dict[str, Any]]:
        """The objects of the nftables table."""
        return nft.listing(family, "cni_hostport", self.host.namespace)

    def comments(self) -> list[str]:
        """What the containers' nftables rules say whose they are."""
        rules = [item["rule"] for family in ("ip", "ip6") for item in self.modern(family) if "rule" in item]
        return [rule["comment"] for rule in rules if "comment" in rule]

    def left(self) -> list[str]:
        """Everything that names an attachment: rules of both backends, memories."""
        memories = (self.directory / "memory").glob("*")
        return [*self.containers_nat(), *self.comments(), *(path.name for path in memories)]


@pytest.fixture
def runtime(host: Space, make_space: Callable[[str], Space], tmp_path: Path) -> Iterator[Runtime]:
    host.network.apply(AddBridge("br0"))
    host.network.apply(SetLink("br0", up=True))
    for address in ("10.1.0.1/24", "fd00:1::1/64"):
        host.network.apply(AddAddress(host.index("br0"), ip_interface(address), nodad=True))
    for key in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        sysctl.write(key, "1", host.namespace)
    config = {"cniVersion": "1.0.0", "name": "net", "type": "portmap", "dataDir": str(tmp_path / "memory")}
    with ExitStack() as stack:
        yield Runtime(host, tmp_path, make_space, stack, config)


@pytest.fixture(params=["iptables", "nftables"])
def each(request: pytest.FixtureRequest, runtime: Runtime) -> Runtime:
    """The runtime with each backend in turn."""
    runtime.config["backend"] = request.param
    return runtime


@pytest.fixture
def outside(runtime: Runtime) -> Space:
    """A stranger on the host's uplink, which has a second address of each family."""
    space = runtime.make_space("outside")
    cable(runtime.host, f"up0={UPLINK}/24", space, f"eth0={OUTSIDE}/24")
    for where, link, address in (
        (runtime.host, "up0", f"{SECOND}/32"),
        (runtime.host, "up0", f"{SECOND_SIX}/64"),
        (space, "eth0", f"{OUTSIDE_SIX}/64"),
    ):
        where.network.apply(AddAddress(where.index(link), ip_interface(address), nodad=True))
    return space


def tcp(host_port: int, container_port: int = 80, host_ip: str = "") -> dict[str, Any]:
    """A mapping as runtimes write it."""
    mapping = {"hostPort": host_port, "containerPort": container_port, "protocol": "tcp"}
    return {**mapping, "hostIP": host_ip} if host_ip else mapping


def udp(host_port: int, container_port: int = 80) -> dict[str, Any]:
    return {**tcp(host_port, container_port), "protocol": "udp"}


def serve(runtime: Runtime, space: Space, port: int, word: str, kind: int = socket.SOCK_STREAM) -> None:
    """Answer every visitor of `port` in `space` with `word` and the address it came from, until the test ends."""
    with netns.inside(space.namespace):
        door = socket.socket(socket.AF_INET6, kind)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    door.bind(("::", port))
    if kind == socket.SOCK_STREAM:
        door.listen()

    def answer() -> None:
        try:
            while True:
                if kind == socket.SOCK_STREAM:
                    visit, peer = door.accept()
                    with visit:
                        visit.sendall(f"{word} {plain(peer[0])}".encode())
                else:
                    told, peer = door.recvfrom(100)
                    if not told:
                        return
                    door.sendto(f"{word} {plain(peer[0])}".encode(), peer)
        except OSError:
            door.close()

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()

    def end() -> None:
        with suppress(OSError):  # a datagram socket is not connected, but who waits at it is woken
            door.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE)
        door.close()

    runtime.stack.callback(end)


def plain(address: str) -> str:
    return address.removeprefix("::ffff:")


def visit(space: Space, address: str, port: int, within: float = PATIENCE) -> str:
    """Return what a server said to a visitor from `space`; OSError when nobody does."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with netns.inside(space.namespace):
        door = socket.socket(family, socket.SOCK_STREAM)
    with door:
        door.settimeout(within)
        door.connect((address, port))
        return door.recv(100).decode()


class Talker:
    """A UDP client that keeps its port, so that all it sends is one flow."""

    def __init__(self, runtime: Runtime, space: Space, family: int = socket.AF_INET) -> None:
        with netns.inside(space.namespace):
            self._door = socket.socket(family, socket.SOCK_DGRAM)
        self._door.settimeout(PATIENCE)
        runtime.stack.callback(self._door.close)

    def ask(self, address: str, port: int, within: float = PATIENCE) -> str:
        self._door.settimeout(within)
        self._door.sendto(b"?", (address, port))
        return self._door.recv(100).decode()
