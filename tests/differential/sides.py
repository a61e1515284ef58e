"""Runs a case with one side's programs, or with the two sides' programs in turn, and writes down what came of it.

Every run has a network namespace for the host and one for each container. What the programs keep in files lies in folders that are
emptied before a run (FILES); the caller has covered the machine's own with private mounts.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernel import netns
from tests.differential.cases import Case, Json
from tests.lab.world import PATH
from tests.netns.spaces import Space

FILES = (Path("/var/lib/cni"), Path("/run/cni"))
"""Folders whose files are compared."""

OWN = Path("/var/lib/tulle")
"""Where ours remembers what only its own programs go by."""

PARAMETERS = {
    "host": (
        "net/ipv4/ip_forward",
        "net/ipv6/conf/all/forwarding",
        "net/ipv4/conf/br0/route_localnet",
        "net/ipv6/conf/br0/accept_ra",
    ),
    "container": (
        "net/ipv4/conf/eth0/arp_notify",
        "net/ipv6/conf/eth0/disable_ipv6",
        "net/ipv6/conf/eth0/accept_dad",
        "net/ipv4/conf/eth0/log_martians",
        "net/ipv4/ip_local_port_range",
    ),
}
FOR_LOCALHOST = "net/ipv4/conf/br0/route_localnet"
"""What the reference sets for every mapping, and ours only where one is for 127.0.0.0/8; elsewhere it is not looked at."""

LOCAL = 255
"""The routing table in which the kernel keeps what goes with addresses."""

COUNTERS = re.compile(r" ?\[[0-9]+:[0-9]+\]")


@dataclass(frozen=True, slots=True)
class Side:
    """Programs under one name: the folder they are in and what their environment has besides the CNI variables."""

    name: str
    folder: Path
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a program and how it ended."""

    verb: str
    container: str
    program: str
    code: int
    """0, or the error's code"""
    said: Any
    """the decoded result, or the error's message"""

    @property
    def passed(self) -> bool:
        """Whether it ended with success."""
        return self.code == 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left to compare: every call in order, the state when all containers were there, and when they were gone."""

    calls: tuple[Call, ...]
    attached: Json
    gone: Json


def run(case: Case, adds: Side, goes_on: Side) -> Outcome:
    """Attach every container with `adds`; check and detach it, twice, with `goes_on`."""
    for kept in [path for folder in (*FILES, OWN) if folder.exists() for path in folder.iterdir()]:
        shutil.rmtree(kept)
    with ExitStack() as stack:
        spaces = {}
        for name in ("host", *(each["id"] for each in case.containers)):
            spaces[name] = Space(name)
            stack.callback(spaces[name].close)
        caller, forwards = Caller(case, spaces), range(len(case.plugins))
        results = [caller.add(each, adds) for each in case.containers]
        attached = _state(case, spaces)
        for each, previous in zip(case.containers, results, strict=True):
            if previous is not None and case.version not in ("0.2.0", "0.3.1"):
                caller.go("CHECK", each, forwards, goes_on, previous)
            for _ in range(2):
                caller.go("DEL", each, reversed(forwards), goes_on, previous)
        return Outcome(tuple(caller.calls), attached, _state(case, spaces))


@dataclass(slots=True)
class Caller:
    """Does what a runtime does with a case, and keeps every call."""

    case: Case
    spaces: Mapping[str, Space]
    calls: list[Call] = field(default_factory=list)

    def add(self, container: Json, side: Side) -> Json | None:
        """Run ADD through the chain; return the last result, or None when a program refused."""
        previous: Json | None = None
        for index in range(len(self.case.plugins)):
            call = self._call("ADD", container, index, side, previous)
            if not call.passed:
                return None
            previous = call.said
        return previous

    def go(self, verb: str, container: Json, order: Iterable[int], side: Side, previous: Json | None) -> None:
        """Run another verb through the chain in an order, whatever its programs answer."""
        for index in order:
            self._call(verb, container, index, side, previous)

    def _call(self, verb: str, container: Json, index: int, side: Side, previous: Json | None) -> Call:
        plugin = self.case.plugins[index]
        document = {**plugin, "cniVersion": self.case.version, "name": "net"}
        declared = plugin.get("capabilities", {}) if index else self.case.runtime
        given = {name: value for name, value in self.case.runtime.items() if declared.get(name)}
        if given:
            document["runtimeConfig"] = given
        if previous is not None:
            document["prevResult"] = previous
        environ = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": container["id"],
            "CNI_NETNS": self.spaces[container["id"]].path,
            "CNI_IFNAME": container["ifname"],
            "CNI_ARGS": container["args"],
            "CNI_PATH": str(side.folder),
            "PATH": PATH,
            **side.environ,
        }
        with netns.inside(self.spaces["host"].namespace):
            child = subprocess.Popen(
                [side.folder / plugin["type"]],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environ,
            )
        out, _ = child.communicate(json.dumps(document).encode(), timeout=60)
        said = json.loads(out) if out.strip() else None
        code = child.returncode
        if code:  # 1.1.1 sometimes panics, and then there is no document
            code, said = (said["code"], said["msg"]) if said else (code, "no document")
        self.calls.append(Call(verb, container["id"], plugin["type"], code, said))
        return self.calls[-1]


def _state(case: Case, spaces: Mapping[str, Space]) -> Json:
    """Return what the kernel and the files hold: names, MACs and indexes that are drawn at random are told by what they belong to."""
    rules = _uses_rules(case)
    mappings = case.runtime.get("portMappings", ())
    localhost = any(each.get("hostIP", "0.0.0.0") in ("0.0.0.0", "127.0.0.1") for each in mappings)
    host = spaces["host"]
    state: Json = {name: _links(space) for name, space in spaces.items()}
    for name, space in spaces.items():
        state[name] += (line for line in _parameters(space) if localhost or not line.startswith(FOR_LOCALHOST))
    state["rules"] = sorted(_rules(host)) if rules else []
    state["files"] = sorted(
        f"{path}: {_content(path)}" for folder in FILES for path in folder.rglob("*") if path.is_file()
    )
    return state


def _uses_rules(case: Case) -> bool:
    return any(
        each["type"] in ("portmap", "firewall") or each.get("ipMasq") or each.get("macspoofchk")
        for each in case.plugins
    )


def _content(path: Path) -> str:
    return re.sub(r'"(mac|Mac)": ?"[^"]*"', '"mac"', path.read_bytes().decode(errors="replace"))


def _links(space: Space) -> list[str]:
    links = {link.index: link for link in space.network.links()}
    names = {link.index: "veth" if link.name.startswith("veth") else link.name for link in links.values()}
    lines = []
    for link in links.values():
        words = [f"{names[link.index]} {link.kind} mtu {link.mtu} up {link.up}"]
        words.append(
            f"master {names.get(link.master, '-')} promiscuity {link.promiscuous} {link.promisc} {link.all_multicast}"
        )
        words.append(f"queue {link.queue} hairpin {link.hairpin} isolated {link.isolated}")
        shapers = (one for one in space.network.qdiscs(link.index) if one.kind in ("tbf", "ingress"))
        lines.append(" ".join([*words, *(f"qdisc {one.kind} {one.bucket}" for one in shapers)]))
    lines += [
        f"address {names[each.link]} {each.address} scope {each.scope}"
        for each in space.network.addresses()
        if not each.address.is_link_local
    ]
    for route in space.network.routes():
        if route.table == LOCAL or route.dst.is_link_local or route.dst.is_multicast:
            continue
        hops = sorted(f"{hop.gateway} {names.get(hop.link, '-')} {hop.weight}" for hop in route.hops)
        lines.append(
            f"route {route.dst} via {route.gateway} {names.get(route.link, '-')} {hops} priority {route.priority} table {route.table} scope {route.scope} {route.kind} source {route.source}"
        )
    return sorted(lines)


def _parameters(space: Space) -> Iterator[str]:
    kind = "host" if space.name == "host" else "container"
    with netns.inside(space.namespace):
        for name in PARAMETERS[kind]:
            path = Path("/proc/sys") / name
            if path.exists():
                yield f"{name} = {' '.join(path.read_text().split())}"


def _rules(host: Space) -> Iterator[str]:
    """Return rules as text: iptables' for each family and table, and every nftables table that is not iptables' own."""
    for family, save in ((4, "iptables-save"), (6, "ip6tables-save")):
        table = ""
        for line in host.run(save).splitlines():
            if line.startswith("*"):
                table = line[1:]
            elif line.startswith(("-A", ":")):
                yield f"{family} {table} {COUNTERS.sub('', line)}"
    for entry in json.loads(host.run("nft", "-j", "list", "ruleset"))["nftables"]:
        ((kind, body),) = entry.items()
        if kind == "metainfo" or (
            (body.get("table") or body.get("name")) in ("filter", "nat", "mangle", "raw")
            and body["family"] in ("ip", "ip6")
        ):
            continue
        yield json.dumps(
            {kind: {key: value for key, value in body.items() if key not in ("handle", "index")}}, sort_keys=True
        )
