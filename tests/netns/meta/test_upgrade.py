"""Claims about programs that are replaced while containers run: by the reference's (1.1.1 and 1.9.1), and back.

* What the reference attached is whole to CHECK, for every program and backend, and its own CHECK agrees afterwards.
* DEL of ours takes what the reference made, and DEL of the reference what ours made: no link, rule or address is left.
* What ours attached is whole to the reference's CHECK: all but the rules of portmap's nftables, which say whose they are where the
  reference tells the container alone (docs/plugins/portmap.md).
"""

import io
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import bridge.program
import meta.bandwidth.program
import meta.firewall.program
import meta.portmap.program
import meta.tuning.program
from cni import skel
from cni.program import Program
from kernel import netns as namespaces
from tests.lab.reference import program
from tests.netns.spaces import Space

PROGRAMS: dict[str, Program] = {
    each.name: each
    for each in (
        bridge.program.PROGRAM,
        meta.portmap.program.PROGRAM,
        meta.firewall.program.PROGRAM,
        meta.bandwidth.program.PROGRAM,
        meta.tuning.program.PROGRAM,
    )
}
DEBIAN = Path("/usr/lib/cni")
SUBNETS = {4: [{"subnet": "10.9.0.0/24"}], 6: [{"subnet": "fd00:9::/64"}]}
BRIDGE: dict[str, Any] = {"type": "bridge", "bridge": "b0", "isDefaultGateway": True}
PORTS = {
    "type": "portmap",
    "runtimeConfig": {
        "portMappings": [
            {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
            {"hostPort": 5353, "containerPort": 53, "protocol": "udp"},
            {"hostPort": 8081, "containerPort": 81, "protocol": "tcp", "hostIP": "127.0.0.1"},
        ]
    },
}
RATES = {"ingressRate": 1_000_000, "ingressBurst": 2**32 - 1, "egressRate": 10**9, "egressBurst": 2**32 - 1}
LISTS: dict[str, list[dict[str, Any]]] = {
    "bridge": [BRIDGE],
    "bridge without a gateway": [{"type": "bridge", "bridge": "b0"}],
    "ipMasq": [{**BRIDGE, "ipMasq": True}],
    "hairpin": [{**BRIDGE, "hairpinMode": True}],
    "promiscMode": [{**BRIDGE, "promiscMode": True}],
    "mtu": [{**BRIDGE, "mtu": 1400}],
    "portmap": [BRIDGE, PORTS],
    "portmap without snat": [BRIDGE, {**PORTS, "snat": False}],
    "firewall": [BRIDGE, {"type": "firewall", "backend": "iptables"}],
    "firewall same-bridge": [BRIDGE, {"type": "firewall", "backend": "iptables", "ingressPolicy": "same-bridge"}],
    "bandwidth": [BRIDGE, {"type": "bandwidth", "runtimeConfig": {"bandwidth": RATES}}],
    "tuning": [
        BRIDGE,
        {"type": "tuning", "sysctl": {"net.ipv4.conf.eth0.log_martians": "1"}, "mtu": 1300, "allmulti": True},
    ],
    "tuning mac": [BRIDGE, {"type": "tuning", "mac": "02:00:00:00:00:17", "promisc": True}],
    "another interface": [BRIDGE, PORTS, {"type": "bandwidth", "egressRate": 8_000_000, "egressBurst": 80_000}],
    "all": [
        {**BRIDGE, "ipMasq": True, "hairpinMode": True},
        PORTS,
        {"type": "firewall", "backend": "iptables"},
        {"type": "bandwidth", "ingressRate": 8_000_000, "ingressBurst": 80_000},
        {"type": "tuning", "mtu": 1300},
    ],
}
SINCE_1_9: dict[str, list[dict[str, Any]]] = {
    "ipMasq nftables": [{**BRIDGE, "ipMasq": True, "ipMasqBackend": "nftables"}],
    "macspoofchk": [{**BRIDGE, "macspoofchk": True}],
    "portIsolation": [{**BRIDGE, "portIsolation": True}],
    "portmap masqAll": [BRIDGE, {**PORTS, "masqAll": True}],
    "portmap nftables": [BRIDGE, {**PORTS, "backend": "nftables"}],
    "portmap nftables without snat": [BRIDGE, {**PORTS, "backend": "nftables", "snat": False}],
    "portmap nftables masqAll": [BRIDGE, {**PORTS, "backend": "nftables", "masqAll": True}],
    "firewall isolated": [BRIDGE, {"type": "firewall", "backend": "iptables", "ingressPolicy": "isolated"}],
}
CASES = [
    *((version, name, plugins) for version in ("1.1.1", "1.9.1") for name, plugins in LISTS.items()),
    *(("1.9.1", name, plugins) for name, plugins in SINCE_1_9.items()),
]
BOTH_WAYS = [
    (version, name, plugins)
    for version, name, plugins in CASES
    if not any(each["type"] == "firewall" or each.get("backend") == "nftables" for each in plugins)
    and name != "bandwidth"
] + [
    (version, "bandwidth", [BRIDGE, {"type": "bandwidth", "ingressRate": 8_000_000, "ingressBurst": 80_000}])
    for version in ("1.1.1", "1.9.1")
]


@dataclass
class Attachment:
    """A container whose list of programs is called by hand, as libcni calls it."""

    host: Space
    netns: str
    directory: Path
    reference: Path
    plugins: list[dict[str, Any]]
    ranges: list[list[dict[str, str]]]
    ifname: str = "eth0"
    result: dict[str, Any] | None = None

    def call(self, verb: str, plugin: dict[str, Any], *, ours: bool) -> dict[str, Any]:
        """Run one program and return its document; an error carries `code`, no document is an empty one."""
        keys = {"dataDir": str(self.directory / plugin["type"])} if plugin["type"] in ("portmap", "tuning") else {}
        stdin = {"cniVersion": "1.0.0", "name": "net", **keys, **plugin, "prevResult": self.result}
        if plugin["type"] == "bridge":
            stdin["ipam"] = {"type": "host-local", "dataDir": str(self.directory / "book"), "ranges": self.ranges}
        environ = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": "c1",
            "CNI_NETNS": self.netns,
            "CNI_IFNAME": self.ifname,
            "CNI_PATH": str(self.reference),
            "PATH": os.environ["PATH"],
            "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/none",
        }
        data = json.dumps({key: value for key, value in stdin.items() if value is not None})
        with namespaces.inside(self.host.namespace):
            if ours:
                out = io.StringIO()
                called = PROGRAMS[plugin["type"]]
                skel.run(called, environ=environ, stdin=io.BytesIO(data.encode()), stdout=out, stderr=io.StringIO())
                text = out.getvalue()
            else:
                path = self.reference / plugin["type"]
                text = subprocess.run(
                    [path], input=data, stdout=subprocess.PIPE, text=True, env=environ, timeout=60, check=False
                ).stdout
        document: dict[str, Any] = json.loads(text or "{}")
        return document

    def add(self, *, ours: bool) -> None:
        for plugin in self.plugins:
            answer = self.call("ADD", plugin, ours=ours)
            assert "code" not in answer, (plugin["type"], answer)
            self.result = answer

    def check(self, *, ours: bool) -> str:
        """Return what the programs' CHECKs say that is not whole."""
        answers = {plugin["type"]: self.call("CHECK", plugin, ours=ours) for plugin in self.plugins}
        return "; ".join(f"{name}: {answer['msg']}" for name, answer in answers.items() if answer)

    def delete(self, *, ours: bool) -> None:
        for plugin in reversed(self.plugins):
            answer = self.call("DEL", plugin, ours=ours)
            assert answer == {}, (plugin["type"], answer)

    def left(self) -> list[str]:
        """Everything that names the attachment or its addresses: links, rules, reservations, memories."""
        links = [link.name for link in self.host.network.links() if link.kind in ("veth", "ifb")]
        rules = [self.host.run(name) for name in ("iptables-save", "ip6tables-save")] + [
            self.host.run("nft", "list", "ruleset")
        ]
        named = ("10.9.0.2", "fd00:9::2", "CNI-DN-", '"c1"', "c1-eth0", "id: c1")
        lines = [line.strip() for text in rules for line in text.splitlines() if any(word in line for word in named)]
        files = [path.name for path in self.directory.rglob("*") if path.is_file()]
        return [*links, *lines, *(name for name in files if not name.startswith(("last_reserved", "lock")))]


@pytest.fixture
def attach(host: Space, make_space: Callable[[str], Space], tmp_path: Path) -> Callable[..., Attachment]:
    def make(version: str, plugins: list[dict[str, Any]], *families: int) -> Attachment:
        if version == "1.1.1" and not DEBIAN.is_dir():
            reason = f"{DEBIAN} is absent: install containernetworking-plugins"
            (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
        needed = ("host-local", *(plugin["type"] for plugin in plugins)) if version == "1.9.1" else ()
        directory = next((path.parent for path in map(program, needed)), DEBIAN)
        return Attachment(
            host, make_space("c1").path, tmp_path, directory, plugins, [SUBNETS[each] for each in families]
        )

    return make


@pytest.mark.parametrize(("version", "name", "plugins"), CASES)
def test_what_the_reference_attached_is_whole_and_taken_away(
    attach: Callable[..., Attachment], version: str, name: str, plugins: list[dict[str, Any]]
) -> None:
    attachment = attach(version, plugins, 4, 6)
    if name == "another interface":
        attachment.ifname = "net1"
    attachment.add(ours=False)
    before = attachment.check(ours=False)
    assert attachment.check(ours=True) == "", name
    assert attachment.check(ours=False) == before
    attachment.delete(ours=True)
    assert attachment.left() == []
    attachment.delete(ours=True)


@pytest.mark.parametrize(("version", "name", "plugins"), BOTH_WAYS)
def test_what_ours_attached_is_whole_to_the_reference_and_taken_away(
    attach: Callable[..., Attachment], version: str, name: str, plugins: list[dict[str, Any]]
) -> None:
    attachment = attach(version, plugins, 4, 6)
    attachment.add(ours=True)
    # CHECK of portmap 1.1.1 looks for the IPv4 rules in IPv6's table, for its own too
    broken = version == "1.1.1" and any(each["type"] == "portmap" for each in plugins)
    assert broken or attachment.check(ours=False) == "", name
    attachment.delete(ours=False)
    for left in (attachment.directory / "portmap").glob("*"):  # nothing but ours knows of it; GC of ours would take it
        left.unlink()
    assert [line for line in attachment.left() if not line.startswith("-A CNI-FORWARD-OWNERS")] == []  # nor of this
