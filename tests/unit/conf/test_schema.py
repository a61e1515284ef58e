"""Claims: on whatever hypothesis makes of good configurations, schemas and typed parsers agree: both take it, or both
refuse it; and both take every configuration written in docs/ and conf/.

A schema sees one value at a time, so some kinds of refusal are the parser's alone, and named in RELATIONS: they compare
values. A key that a program knows but cannot honour (code 2) is no question of form. Not covered: prevResult, which no
file holds.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cli.commands import lint
from cli.linting import parsers, schemas
from cni.errors import CniError, Code

ROOT = Path(__file__).resolve().parents[3]

RELATIONS = re.compile(
    "not in network|overlap|mixed address families|another address family|more than 1 address per family"
    "|no IP ranges specified|minID is greater than maxID|cannot read|-specific options|must also be set|kernel can count|lets nothing pass"
)

VALUES: list[Any] = [
     None, True, False, 0, 1, -1, 5, 1.0, 1.5, 2**32, 2**63, "", "x", "1", "true", "a\0b", "10.1.0.1", "10.1.0.0/24",
     "10.1.0.1/24", "10.1.0.0/31", "010.1.0.1", "fd00::1%eth0", "fd00::/64", "::ffff:10.1.0.1", "::ffff:10.1.0.0/120", "10.1.0.0/255.255.255.0",
     "10.1.0.0/024", "/run/x", "run/x", "02:00:00:00:00:01", "02-00-00-00-00-01", "0200.0000.0001", "02-00:00-00-00-01", "020000000001", "nftables", "iptables", "host-local",
     "a\n", "/a\n", "02:00:00:00:00:01\n", [], [None], ["x"], [5], [[]], [[None]], [[{}]], [{}], {}, {"x": 1},
     ["10.1.0.5"], ["10.1.0.5/24"], ["10.1.0.5\n"], [{"dst": "0.0.0.0/0"}], [{"id": 5}], [{"minID": 1, "maxID": 9}],
]  # fmt: skip
JUNK = st.sampled_from(VALUES)

ROUTE = {"dst": "0.0.0.0/0", "gw": "10.1.0.1", "mtu": 1400, "advmss": 1, "priority": 5, "table": 254, "scope": 0}
RANGE = {"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.5", "rangeEnd": "10.1.0.9", "gateway": "10.1.0.1"}
WISHES = {"mac": "02:00:00:00:00:01", "ips": ["10.1.0.5/24"]}
FULL: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "name": "net",
    "type": "bridge",
    "bridge": "tulle0",
    "subnetFile": "/run/flannel/subnet.env",
    "isGateway": True,
    "isDefaultGateway": True,
    "forceAddress": False,
    "ipMasq": True,
    "ipMasqBackend": "nftables",
    "mtu": 1450,
    "hairpinMode": True,
    "promiscMode": False,
    "portIsolation": False,
    "vlan": 5,
    "vlanTrunk": [{"id": 5}, {"minID": 7, "maxID": 9}],
    "preserveDefaultVlan": True,
    "macspoofchk": False,
    "enabledad": True,
    "disableContainerInterface": False,
    "dns": {"nameservers": ["10.1.0.1"], "domain": "d", "search": ["s"], "options": ["o"]},
    "args": {"cni": WISHES},
    "runtimeConfig": {**WISHES, "ipRanges": [[{"subnet": "10.7.0.0/24"}]]},
    "ipam": {
        "type": "host-local",
        "ranges": [[RANGE, {"subnet": "10.2.0.0/24"}], [{"subnet": "fd00::/64"}]],
        "subnet": "10.3.0.0/24",
        "rangeStart": "10.3.0.7",
        "routes": [ROUTE, {"dst": "::/0"}],
        "exclude": ["10.1.0.7", "10.2.0.64/28"],
        "reclaim": True,
        "subnetFile": "",
        "dataDir": "/run/x",
        "resolvConf": "/etc/resolv.conf",
    },
}  # fmt: skip

STATIC: dict[str, Any] = {
    "cniVersion": "1.1.0",
    "name": "net",
    "type": "loopback",
    "args": {"cni": {"ips": []}},
    "runtimeConfig": {"ips": []},
    "ipam": {
        "type": "static",
        "addresses": [{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}, {"address": "fd00::5/64"}],
        "routes": [ROUTE],
        "dns": {"nameservers": ["10.1.0.1"], "domain": "d", "search": ["s"], "options": ["o"]},
    },
}

PORTMAP: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "name": "net",
    "type": "portmap",
    "backend": "iptables",
    "snat": True,
    "masqAll": False,
    "markMasqBit": 5,
    "conditionsV4": ["!", "-s", "192.0.2.0/24"],
    "conditionsV6": ["-s", "fc00::/7"],
    "dataDir": "/run/x",
    "runtimeConfig": {
        "portMappings": [
            {"hostPort": 80, "containerPort": 8080, "protocol": "tcp", "hostIP": "10.1.0.1"},
            {"hostPort": 53, "containerPort": 53, "protocol": "UDP"},
        ]
    },
}
EXTERNAL: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "name": "net",
    "type": "portmap",
    "externalSetMarkChain": "KUBE-MARK-MASQ",
}
BANDWIDTH: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "name": "net",
    "type": "bandwidth",
    "ingressRate": 8000,
    "ingressBurst": 80,
    "egressRate": 16,
    "egressBurst": 8,
    "runtimeConfig": {"bandwidth": {"ingressRate": 8000, "ingressBurst": 80, "egressRate": 0, "egressBurst": 0}},
}
TUNING: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "name": "net",
    "type": "tuning",
    "sysctl": {"net.ipv4.conf.IFNAME.log_martians": "1", "net/ipv4/ip_local_port_range": "2000 3000"},
    "mac": "02:00:00:00:00:01",
    "mtu": 1400,
    "promisc": True,
    "allmulti": False,
    "txQLen": 500,
    "dataDir": "/run/x",
    "args": {"cni": {"sysctl": {"net.core.somaxconn": "500"}, "mac": "", "mtu": 0, "promisc": None, "txQLen": 0}},
    "runtimeConfig": {"mac": "02-00-00-00-00-01"},
}

FIREWALL: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "name": "net",
    "type": "firewall",
    "backend": "nftables",
    "iptablesAdminChainName": "MINE",
    "ingressPolicy": "isolated",
}

Step = str | int


def places(value: Any, here: tuple[Step, ...] = ()) -> list[tuple[Step, ...]]:
    steps: list[tuple[Step, Any]] = []
    if isinstance(value, dict):
        steps = list(value.items())
    elif isinstance(value, list):
        steps = list(enumerate(value))
    return [place for step, member in steps for place in ((*here, step), *places(member, (*here, step)))]


GOOD = [
    (good, [place for place in places(good) if place not in (("type",), ("ipam", "type"))])
    for good in (FULL, STATIC, PORTMAP, EXTERNAL, FIREWALL, BANDWIDTH, TUNING)
]
"""Good configurations, each with the places to change; the types decide who judges, so they stay."""


def changed(document: Any, place: tuple[Step, ...], value: Any, *, remove: bool) -> None:
    *way, last = place
    for step in way:
        if not isinstance(document, dict | list) or (isinstance(document, list) and not isinstance(step, int)):
            return
        try:
            document = document[step]  # type: ignore[index]
        except (KeyError, IndexError):
            return
    if isinstance(document, dict) and isinstance(last, str):
        document.pop(last, None)
        if not remove:
            document[last] = value
    elif isinstance(document, list) and isinstance(last, int) and last < len(document):
        document[last] = value


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a full configuration in which up to three values are something else, or missing."""
    good, wrong = draw(st.sampled_from(GOOD))
    document: dict[str, Any] = json.loads(json.dumps(good))
    for place in draw(st.lists(st.sampled_from(wrong), max_size=3)):
        changed(document, place, json.loads(json.dumps(draw(JUNK))), remove=draw(st.booleans()))
    return document


def refusal(config: dict[str, Any]) -> CniError | None:
    """Return what the first program to refuse says, as at run time."""
    answers = (parsers.refusal(parser, config) for parser in parsers.concerned(config))
    return next((answer for answer in answers if answer is not None), None)


@given(configurations())
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_schema_and_parsers_agree(config: dict[str, Any]) -> None:
    refused = refusal(config)
    assume(refused is None or not (RELATIONS.search(refused.msg) or refused.code == Code.UNSUPPORTED_FIELD))
    found = schemas.mistakes(config, "plugin.json")
    assert bool(found) == bool(refused), (found, str(refused))


@given(configurations())
@settings(max_examples=100, deadline=None)
def test_lint_tells_of_every_configuration_that_is_refused(config: dict[str, Any]) -> None:
    assert any(not one.warning for one in lint.of_one(config)) == bool(refusal(config))


@pytest.mark.parametrize("config", [FULL, STATIC, PORTMAP, EXTERNAL, FIREWALL, BANDWIDTH, TUNING])
def test_the_full_configurations_are_good_ones(config: dict[str, Any]) -> None:
    assert [one for one in lint.of_one(config) if not one.warning] == []


def written() -> list[tuple[str, Any]]:
    """Return every configuration written in docs/ and conf/, by where it stands."""
    files = [(path.name, json.loads(path.read_text())) for path in sorted((ROOT / "conf").glob("*.conf*"))]
    pages = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]
    blocks = [
        (f"{page.name} block {number}", json.loads(block))
        for page in pages
        for number, block in enumerate(re.findall(r"^```json\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE))
    ]
    return [(where, document) for where, document in files + blocks if {"plugins", "type", "ipam"} & set(document)]


@pytest.mark.parametrize(("where", "document"), written())
def test_every_example_is_taken_by_both(where: str, document: Any) -> None:
    assert lint.mistakes_of(json.dumps(document).encode()) == []


def test_examples_are_found() -> None:
    assert len(written()) >= 3
