"""What static answers (docs/reference/cni.md 4.6), through the skeleton as a runtime sees it.

Claims: configured addresses come back with routes and dns in the shape of every version; CNI_ARGS adds, args.cni.ips
replaces, runtimeConfig.ips replaces again; refusals are the reference's words; DEL and GC succeed whatever the configuration
says; CHECK compares gateways of the addresses it finds.
"""

import io
import json
from typing import Any

import pytest

from cni import skel
from cni.versions import SUPPORTED
from ipam.static import PROGRAM

FOUR = {"address": "10.10.0.1/24", "gateway": "10.10.0.254"}
SIX = {"address": "3ffe:ffff:0:01ff::1/64", "gateway": "3ffe:ffff:0::1"}
IPAM = {
    "addresses": [FOUR, SIX],
    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "192.168.0.0/16", "gw": "10.10.5.1"}, {"dst": "3ffe:ffff:0:01ff::1/64"}],
    "dns": {"nameservers": ["8.8.8.8"], "domain": "example.com", "search": ["example.com"]},
}


def ask(verb: str, ipam: Any = None, version: str = "1.0.0", cni_args: str = "", **top: Any) -> Any:
    """Run one verb; return its document, or None for none. An error carries `code`."""
    document = {"cniVersion": version, "name": "mynet", "type": "ipvlan", **top}
    if ipam is not None:
        document["ipam"] = {"type": "static", **ipam}
    environ = {"CNI_COMMAND": verb, "CNI_CONTAINERID": "dummy", "CNI_NETNS": "/none", "CNI_IFNAME": "eth0"}
    out = io.StringIO()
    stdin = io.BytesIO(json.dumps(document).encode())
    skel.run(
        PROGRAM,
        environ={**environ, "CNI_PATH": "/", "CNI_ARGS": cni_args},
        stdin=stdin,
        stdout=out,
        stderr=io.StringIO(),
    )
    return json.loads(out.getvalue()) if out.getvalue() else None


def given(answer: Any) -> list[tuple[str, str | None]]:
    return [(entry["address"], entry.get("gateway")) for entry in answer["ips"]]


def test_answer_is_the_configuration() -> None:
    assert ask("ADD", IPAM) == {
        "cniVersion": "1.0.0",
        "ips": [
            {"address": "10.10.0.1/24", "gateway": "10.10.0.254"},
            {"address": "3ffe:ffff:0:1ff::1/64", "gateway": "3ffe:ffff::1"},
        ],
        "routes": [
            {"dst": "0.0.0.0/0"},
            {"dst": "192.168.0.0/16", "gw": "10.10.5.1"},
            {"dst": "3ffe:ffff:0:1ff::1/64"},
        ],
        "dns": {"nameservers": ["8.8.8.8"], "domain": "example.com", "search": ["example.com"]},
    }


@pytest.mark.parametrize("version", SUPPORTED)
def test_every_version_gets_its_own_shape_and_a_silent_del(version: str) -> None:
    answer = ask("ADD", IPAM, version)
    found = (
        [answer["ip4"]["ip"], answer["ip6"]["ip"]] if version < "0.3" else [each["address"] for each in answer["ips"]]
    )
    assert (answer["cniVersion"], found) == (version, ["10.10.0.1/24", "3ffe:ffff:0:1ff::1/64"])
    assert ask("DEL", IPAM, version) is None


def test_cni_args_alone_are_enough() -> None:
    answer = ask("ADD", {"routes": []}, cni_args="IP=10.10.0.1/24;GATEWAY=10.10.0.254")
    assert given(answer) == [("10.10.0.1/24", "10.10.0.254")]


def test_cni_args_append_and_gateways_go_to_every_network_that_holds_them() -> None:
    answer = ask(
        "ADD",
        {"addresses": [{"address": "10.10.0.9/24"}]},
        cni_args="IP=10.10.0.1/24, 11.11.0.1/24,fd00::5/64;GATEWAY=10.10.0.254,fd00::1, 12.0.0.1;IgnoreUnknown=1;K8S_POD=x",
    )
    assert given(answer) == [
        ("10.10.0.9/24", "10.10.0.254"),
        ("10.10.0.1/24", "10.10.0.254"),
        ("11.11.0.1/24", None),
        ("fd00::5/64", "fd00::1"),
    ]


def test_args_replace_and_the_runtime_replaces_again() -> None:
    metadata: dict[str, Any] = {"args": {"cni": {"ips": ["10.10.0.1/24", "3ffe::1/64"]}}}
    assert given(ask("ADD", IPAM, cni_args="IP=10.9.9.9/24", **metadata)) == [
        ("10.10.0.1/24", None),
        ("3ffe::1/64", None),
    ]
    runtime: dict[str, Any] = {"runtimeConfig": {"ips": ["10.20.0.1/24"]}}
    assert given(ask("ADD", IPAM, **metadata, **runtime)) == [("10.20.0.1/24", None)]


def test_empty_lists_replace_nothing() -> None:
    empty: dict[str, Any] = {"args": {"cni": {"ips": []}}, "runtimeConfig": {"ips": []}}
    assert given(ask("ADD", {"addresses": [FOUR]}, **empty)) == [("10.10.0.1/24", "10.10.0.254")]


@pytest.mark.parametrize(
    ("ipam", "extra", "code", "msg"),
    [
        (None, {}, 7, "IPAM config missing 'ipam' key"),
        (
            {"addresses": [{"address": "10.10.0.1"}]},
            {},
            7,
            "the 'address' field is expected to be in CIDR notation, got: '10.10.0.1'",
        ),
        ({"addresses": [{}]}, {}, 7, "the 'address' field is expected to be in CIDR notation, got: ''"),
        ({}, {"cni_args": "IP=10.10.0.1"}, 4, "the 'ip' field is expected to be in CIDR notation, got: '10.10.0.1'"),
        ({}, {"cni_args": "IP=10.10.0.1/24;GATEWAY=x"}, 4, "invalid gateway address: x"),
        ({}, {"cni_args": "MAC=1"}, 4, 'ARGS: unknown args ["MAC=1"]'),
        (
            {},
            {"args": {"cni": {"ips": ["10.10.0.1"]}}},
            7,
            "an entry in the 'ips' field is NOT in CIDR notation, got: '10.10.0.1'",
        ),
        (
            {},
            {"runtimeConfig": {"ips": ["10.10.0.1/33"]}},
            7,
            "an entry in the 'ips' field is NOT in CIDR notation, got: '10.10.0.1/33'",
        ),
    ],
)
def test_refusals_are_the_references(ipam: Any, extra: dict[str, Any], code: int, msg: str) -> None:
    answer = ask("ADD", ipam, **extra)
    assert (answer["code"], answer["msg"]) == (code, msg)


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_two_addresses_a_family_are_refused_before_0_3_0(version: str) -> None:
    answer = ask("ADD", {"addresses": [FOUR, {"address": "11.0.0.1/24"}]}, version)
    assert answer["msg"] == f"CNI version {version} does not support more than 1 address per family"


@pytest.mark.parametrize("verb", ["DEL", "GC"])
def test_del_and_gc_succeed_whatever_is_configured(verb: str) -> None:
    assert ask(verb, {"addresses": [{"address": "junk"}]}, "1.1.0", cni_args="junk") is None


def test_status_tells_what_add_would_refuse() -> None:
    assert ask("STATUS", IPAM, "1.1.0") is None
    assert ask("STATUS", {"addresses": [{"address": "junk"}]}, "1.1.0")["code"] == 7


def test_check_passes_on_its_own_result() -> None:
    assert ask("CHECK", IPAM, prevResult=ask("ADD", IPAM)) is None


def test_check_wants_the_earlier_result() -> None:
    assert ask("CHECK", IPAM)["msg"] == "Required prevResult missing"


@pytest.mark.parametrize(
    ("earlier", "passes"),
    [
        ([{"address": "10.10.0.1/24", "gateway": "10.10.0.253"}], False),
        ([{"address": "10.10.0.1/24"}], False),
        ([{"address": "10.10.0.7/24", "gateway": "10.10.0.253"}], True),
        ([], True),
    ],
)
def test_check_compares_gateways_of_the_addresses_it_finds(earlier: list[Any], passes: bool) -> None:
    answer = ask("CHECK", {"addresses": [FOUR]}, prevResult={"cniVersion": "1.0.0", "ips": earlier})
    assert (answer is None) == passes
    if not passes:
        assert answer["msg"] == "static: Failed to match addr 10.10.0.1 on interface eth0"


def test_check_asks_for_no_gateway_where_none_is_configured() -> None:
    earlier = {"cniVersion": "1.0.0", "ips": [FOUR]}
    assert ask("CHECK", {"addresses": [{"address": "10.10.0.1/24"}]}, prevResult=earlier) is None
