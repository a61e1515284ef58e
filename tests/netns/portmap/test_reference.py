"""Claims beside the reference's own portmap: after the same ADD, and after DEL, the rules of both are the same (docs/reference/cni.md 4.1).

* iptables: rule by rule, as iptables lists them, for every option; but for the drop of martians in the table `raw`.
* nftables: rule by rule, but for comments (ours name network and interface too), the chain `martians`, and one more masquerade.
* Either program removes what the other published through iptables, and ours what the reference published through nftables.
"""

import io
import json
import re
from ipaddress import ip_interface
from typing import Any

import pytest

from cni import skel
from kernel import netns, spawn
from kernel.netlink.requests import AddAddress
from meta.portmap.program import PROGRAM
from tests.lab.reference import program
from tests.netns.portmap.conftest import Runtime, tcp, udp

MAPPINGS = [tcp(8080), udp(53, 5353), tcp(8081, 80, "10.9.0.1"), tcp(8082, 80, "fd09::1"), tcp(9, 9, "0.0.0.0")]
MANY = [*MAPPINGS, *(tcp(port) for port in range(9000, 9020)), {**tcp(9), "protocol": "sctp"}]
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "no snat": {"snat": False},
    "masqAll": {"masqAll": True},
    "external": {"externalSetMarkChain": "KUBE-MARK-MASQ"},
    "bit": {"markMasqBit": 5},
    "conditions": {"conditionsV4": ["!", "-s", "192.0.2.0/24"], "conditionsV6": ["!", "-s", "fc00::/7"]},
}
OURS_ONLY = re.compile(
    r"^\s*ip6? saddr \S+ ct status dnat ip6? daddr \S+ masquerade|^\s*ip6? saddr \S+ ip6? daddr \S+ ct status dnat"
)


@pytest.fixture
def host(runtime: Runtime) -> Runtime:
    """The runtime's host with the addresses of the mappings, and a chain of somebody else."""
    program("portmap")
    lo = runtime.host.index("lo")
    for address in ("10.9.0.1/32", "fd09::1/128"):
        runtime.host.network.apply(AddAddress(lo, ip_interface(address), nodad=True))
    for tool in ("iptables", "ip6tables"):
        runtime.host.run(tool, "-t", "nat", "-N", "KUBE-MARK-MASQ")
    return runtime


def document(runtime: Runtime, **keys: Any) -> str:
    interfaces = [{"name": "br0"}, {"name": "eth0", "sandbox": "/run/netns/x"}]
    ips = [{"address": "10.1.0.5/24", "interface": 1}, {"address": "fd00:1::5/64", "interface": 1}]
    previous = {"cniVersion": "1.0.0", "interfaces": interfaces, "ips": ips}
    mappings = {"portMappings": MANY}
    return json.dumps({**runtime.config, "prevResult": previous, "runtimeConfig": mappings, **keys})


def environ(verb: str) -> dict[str, str]:
    names = {"CNI_CONTAINERID": "c1", "CNI_NETNS": "/run/netns/x", "CNI_IFNAME": "eth0", "CNI_PATH": "/none"}
    return {"CNI_COMMAND": verb, **names}


def reference(runtime: Runtime, verb: str, **keys: Any) -> None:
    """Serve the request with the reference's program; the directory of tools has to be in its PATH."""
    variables = [f"{name}={value}" for name, value in environ(verb).items()]
    done = spawn.run(
        ["env", f"PATH={':'.join(spawn.PLACES)}", *variables, str(program("portmap"))],
        document(runtime, **keys),
        runtime.host.namespace,
    )
    assert done.code == 0, done


def ours(runtime: Runtime, verb: str, **keys: Any) -> None:
    out = io.StringIO()
    stdin = io.BytesIO(document(runtime, **keys).encode())
    with netns.inside(runtime.host.namespace):
        status = skel.run(PROGRAM, environ=environ(verb), stdin=stdin, stdout=out, stderr=io.StringIO())
    assert status == 0, out.getvalue()


def dump(runtime: Runtime, backend: str) -> list[str]:
    """Everything that stands, without what ours has on purpose."""
    if backend == "iptables":
        return [*runtime.nat(4), *runtime.nat(6)]
    lines = runtime.host.run("nft", "list", "ruleset").splitlines()
    text = re.sub(r' comment "[^"]*, net: net, if: eth0, id: c1"', ' comment "c1"', "\n".join(lines))
    text = re.sub(r"\n*\tchain martians \{.*?\n\t\}", "", text, flags=re.DOTALL)
    return [line for line in text.splitlines() if line.strip() and not OURS_ONLY.match(line)]


def flush(runtime: Runtime) -> None:
    runtime.host.run("nft", "flush", "ruleset")
    for tool in ("iptables", "ip6tables"):
        runtime.host.run(tool, "-t", "nat", "-N", "KUBE-MARK-MASQ")


@pytest.mark.parametrize("keys", CASES.values(), ids=CASES)
def test_iptables_has_the_references_rules(host: Runtime, keys: dict[str, Any]) -> None:
    keys = {**keys, "backend": "iptables"}
    shown = []
    for serve in (reference, ours):
        for verb in ("ADD", "DEL"):
            serve(host, verb, **keys)
            shown.append(dump(host, "iptables"))
        flush(host)
    assert shown[2:] == shown[:2]
    assert len(shown[0]) > len(shown[1]) > 0


@pytest.mark.parametrize("keys", [{}, {"snat": False}], ids=["plain", "no snat"])
def test_nftables_has_the_references_rules(host: Runtime, keys: dict[str, Any]) -> None:
    keys = {**keys, "backend": "nftables"}
    shown = []
    for serve in (reference, ours):
        for verb in ("ADD", "DEL"):
            serve(host, verb, **keys)
            shown.append(dump(host, "nftables"))
        flush(host)
    assert shown[2:] == shown[:2]


def test_either_removes_what_the_other_published_through_iptables(host: Runtime) -> None:
    for first, second in ((ours, reference), (reference, ours)):
        first(host, "ADD", backend="iptables")
        assert host.containers_nat() != []
        second(host, "DEL", backend="iptables")
        assert host.containers_nat() == []


def test_ours_removes_what_the_reference_published_through_nftables(host: Runtime) -> None:
    reference(host, "ADD", backend="nftables")
    assert host.comments() != []
    ours(host, "DEL", backend="nftables")
    assert host.comments() == []
