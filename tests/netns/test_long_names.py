"""Claims about names as long as runtimes and people send them: networks of 255 bytes, containers of 128, interfaces of 15.

* ADD and CHECK of every program of a list work, with both backends, and DEL leaves nothing, with and without the namespace.
* GC removes what belongs to nobody any more, and keeps what the runtime names, also beside a network whose name begins alike.
* `tulle gc` finds nothing dead among what lives.
"""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from catalogue import CNI
from cli.inspect import orphans
from cli.inspect.cni_configs import Conflist
from cli.inspect.network_state import AddressBook, NetworkState
from cni import skel
from cni.attachment_id import AttachmentID
from ipam.claims import SEPARATOR, Reservation
from kernel import netns as namespaces
from kernel.firewall import iptables, nft
from overlay.config import settings
from tests.netns.spaces import Space

ID, IFNAME = "c" * 127, "fifteen-letters"
TABLES = (("inet", "cni_plugins_masquerade"), ("ip", "cni_hostport"), ("bridge", "nat"), ("inet", "cni_firewall"))


@dataclass
class Host:
    """A private host with host-local on a folder, and the list of programs of one network."""

    space: Space
    folder: Path
    network: str
    backend: str
    results: dict[str, Any] = field(default_factory=dict)

    def list_of_programs(self) -> list[dict[str, Any]]:
        ipam = {"type": "host-local", "subnet": "10.9.0.0/24", "dataDir": str(self.folder / "networks")}
        bridge = {"type": "bridge", "bridge": "br0", "isGateway": True, "ipMasq": True, "ipMasqBackend": self.backend}
        ports = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
        limits = {"ingressRate": 1000000, "ingressBurst": 1000000, "egressRate": 1000000, "egressBurst": 1000000}
        return [
            {**bridge, "macspoofchk": True, "ipam": ipam},
            {
                "type": "portmap",
                "backend": self.backend,
                "dataDir": str(self.folder / "portmap"),
                "runtimeConfig": {"portMappings": ports},
            },
            {"type": "firewall", "backend": self.backend},
            {"type": "bandwidth", "runtimeConfig": {"bandwidth": limits}},
            {"type": "tuning", "mtu": 1400, "dataDir": str(self.folder / "tuning")},
        ]

    def call(self, verb: str, program: dict[str, Any], container: str, netns: str, **keys: Any) -> dict[str, Any]:
        config = {"cniVersion": "1.1.0", "name": self.network, **program, **keys}
        environ = {"CNI_COMMAND": verb, "CNI_CONTAINERID": container, "CNI_NETNS": netns, "CNI_IFNAME": IFNAME}
        out = io.StringIO()
        with namespaces.inside(self.space.namespace):
            skel.run(
                CNI[program["type"]].load(),
                environ={**environ, "CNI_PATH": str(self.folder)},
                stdin=io.BytesIO(json.dumps(config).encode()),
                stdout=out,
                stderr=io.StringIO(),
            )
        document: dict[str, Any] = json.loads(out.getvalue() or "{}")
        assert "code" not in document, (verb, program["type"], document)
        return document

    def add(self, container: str, netns: str, programs: int = 5) -> None:
        result: dict[str, Any] = {}
        for program in self.list_of_programs()[:programs]:
            result = self.call("ADD", program, container, netns, **({"prevResult": result} if result else {}))
        self.results[container] = result

    def every(self, verb: str, container: str = "", netns: str = "", **keys: Any) -> None:
        programs = self.list_of_programs()
        for program in programs if verb == "CHECK" else reversed(programs):
            self.call(verb, program, container, netns, **keys)

    def traces(self) -> list[str]:
        """Everything on the host that names an attachment of this network."""
        links = [link.alias or link.name for link in self.space.network.links() if link.kind in {"veth", "ifb"}]
        rules = [
            f"{table}: {item['rule'].get('comment')}"
            for family, table in TABLES
            for item in nft.listing(family, table, self.space.namespace)
            if item.get("rule", {}).get("comment")
        ]
        with namespaces.inside(self.space.namespace):
            lists = [iptables.listing(4, table) for table in ("nat", "filter")]
        rules += [
            " ".join(rule) for rules_of in lists for rule in rules_of if any(self.network[:20] in word for word in rule)
        ]
        files = [path.name for path in self.folder.rglob("*") if path.is_file()]
        return [*links, *rules, *(name for name in files if name.startswith("10.9.0.") or "ccc" in name)]


@pytest.fixture(
    params=[("iptables", 255), ("nftables", 255), ("iptables", 190), ("iptables", 105), ("nftables", 105)], ids=str
)
def long(host: Space, tmp_path: Path, request: pytest.FixtureRequest) -> Host:
    backend, length = request.param
    program = tmp_path / "host-local"
    root = Path(__file__).parents[2]
    program.write_text(f"#!/bin/sh\ncd {root} && exec {sys.executable} -m build.entry host-local\n")
    program.chmod(0o755)
    return Host(host, tmp_path, "n" * length, backend)


@pytest.mark.parametrize("netns", ["container", ""])
def test_add_check_and_del_of_every_program(long: Host, container: Space, netns: str) -> None:
    long.add(f"{ID}0", container.path)
    long.every("CHECK", f"{ID}0", container.path, prevResult=long.results[f"{ID}0"])
    assert len(long.traces()) > 8
    for _ in range(2):
        long.every("DEL", f"{ID}0", container.path if netns else "", prevResult=long.results[f"{ID}0"])
    assert long.traces() == []


def test_gc_removes_strangers_and_keeps_the_rest(long: Host, make_space: Callable[[str], Space]) -> None:
    first = make_space("c1")
    long.add(f"{ID}1", first.path, programs=1)
    long.add(f"{ID}2", make_space("c2").path)
    alike = Host(long.space, long.folder, f"{long.network[:-1]}x", long.backend)
    alike.add(f"{ID}3", make_space("c3").path, programs=1)
    valid: dict[str, Any] = {"cni.dev/valid-attachments": [{"containerID": f"{ID}1", "ifname": IFNAME}]}
    long.every("GC", **valid)
    left = [
        trace
        for trace in long.traces()
        if f"{ID}2" in trace or AttachmentID(long.network, f"{ID}2", IFNAME).mark in trace
    ]
    assert left == []
    kept = {link.alias for link in long.space.network.links() if link.kind == "veth"}
    long.call("CHECK", long.list_of_programs()[0], f"{ID}1", first.path, prevResult=long.results[f"{ID}1"])
    assert kept == {
        AttachmentID(each.network, f"{ID}{number}", IFNAME).alias for each, number in ((long, 1), (alike, 3))
    }


def test_nothing_that_lives_counts_as_left_over(long: Host, container: Space) -> None:
    long.add(ID, container.path, programs=2)
    claims = [ID, IFNAME, long.network]
    held = Reservation("10.9.0.2", ip_address("10.9.0.2"), SEPARATOR.join(claims))
    with namespaces.inside(long.space.namespace):
        links = long.space.network.links()
        survey = NetworkState(settings.parse([], {}, sys.stderr), links=links, book=AddressBook("/no/book", (held,)))
        bridge = {"type": "bridge", "subnetFile": "/run/flannel/subnet.env"}
        assert orphans.find(survey, [Conflist("x", long.network, plugins=(bridge,))]) == ()
