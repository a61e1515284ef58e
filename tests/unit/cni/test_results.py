"""Claims: every version's results are read and printed in its own shape; what a shape cannot hold is lost and nothing else.

Algebra (hypothesis): printing and reading again returns the result less the losses that docs/reference/cni.md 1.6 lists, and a second
round changes nothing. prevResult has to be of the configuration's family. Unknown members travel along.
"""

import json
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni import results, versions
from cni.addresses import parse_address
from cni.errors import CniError
from cni.json_object import JsonObject
from cni.types import Address, Dns, Interface, Result, Route
from system.ip import IPInterface

BUCKETED = ("0.1.0", "0.2.0")
VERSIONED = ("0.3.0", "0.3.1", "0.4.0")
NEWEST = ("1.0.0", "1.1.0")

FULL = Result(
    interfaces=(
        Interface("cni0", mac="02:00:00:00:00:01"),
        Interface(
            "eth0", "02:00:00:00:00:02", mtu=1450, sandbox="/run/netns/a", socket_path="/s", pci_id="0000:00:1f.6"
        ),
    ),
    ips=(
        Address(ip_interface("10.1.0.5/24"), ip_address("10.1.0.1"), 1),
        Address(ip_interface("fd00::5/64"), ip_address("fd00::1"), 0),
        Address(ip_interface("10.2.0.5/16")),
    ),
    routes=(
        Route(ip_interface("0.0.0.0/0"), ip_address("10.1.0.1"), mtu=1400, advmss=1360, priority=5, table=0, scope=0),
        Route(ip_interface("fd00:1::/48")),
    ),
    dns=Dns(("10.1.0.1",), "example.org", ("a", "b"), ("ndots:1",)),
)

ROUTES = [
    {"dst": "0.0.0.0/0", "gw": "10.1.0.1", "mtu": 1400, "advmss": 1360, "priority": 5, "table": 0, "scope": 0},
    {"dst": "fd00:1::/48"},
]
DNS = {"nameservers": ["10.1.0.1"], "domain": "example.org", "search": ["a", "b"], "options": ["ndots:1"]}


@pytest.mark.parametrize("version", NEWEST)
def test_the_newest_shape_holds_everything(version: str) -> None:
    assert results.dump(FULL, version) == {
        "cniVersion": version,
        "interfaces": [
            {"name": "cni0", "mac": "02:00:00:00:00:01"},
            {
                "name": "eth0",
                "mac": "02:00:00:00:00:02",
                "mtu": 1450,
                "sandbox": "/run/netns/a",
                "socketPath": "/s",
                "pciID": "0000:00:1f.6",
            },
        ],
        "ips": [
            {"address": "10.1.0.5/24", "gateway": "10.1.0.1", "interface": 1},
            {"address": "fd00::5/64", "gateway": "fd00::1", "interface": 0},
            {"address": "10.2.0.5/16"},
        ],
        "routes": ROUTES,
        "dns": DNS,
    }


@pytest.mark.parametrize("version", VERSIONED)
def test_the_middle_shape_tells_ip_versions_and_loses_three_members_of_interfaces(version: str) -> None:
    assert results.dump(FULL, version) == {
        "cniVersion": version,
        "interfaces": [
            {"name": "cni0", "mac": "02:00:00:00:00:01"},
            {"name": "eth0", "mac": "02:00:00:00:00:02", "sandbox": "/run/netns/a"},
        ],
        "ips": [
            {"version": "4", "address": "10.1.0.5/24", "gateway": "10.1.0.1", "interface": 1},
            {"version": "6", "address": "fd00::5/64", "gateway": "fd00::1", "interface": 0},
            {"version": "4", "address": "10.2.0.5/16"},
        ],
        "routes": ROUTES,
        "dns": DNS,
    }


@pytest.mark.parametrize("version", [*BUCKETED, ""])
def test_the_oldest_shape_holds_one_address_a_family(version: str) -> None:
    assert results.dump(FULL, version) == {
        "cniVersion": version or "0.1.0",
        "ip4": {"ip": "10.1.0.5/24", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}]},
        "ip6": {"ip": "fd00::5/64", "gateway": "fd00::1", "routes": [{"dst": "fd00:1::/48"}]},
        "dns": DNS,
    }


def test_a_route_without_a_bucket_of_its_family_is_lost() -> None:
    only_v4 = replace(FULL, ips=FULL.ips[:1])
    assert "ip6" not in results.dump(only_v4, "0.2.0")
    assert results.dump(only_v4, "0.2.0")["ip4"]["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}]


@pytest.mark.parametrize("version", [*BUCKETED, ""])
def test_a_result_without_addresses_has_no_oldest_shape(version: str) -> None:
    with pytest.raises(CniError, match="cannot convert: no valid IP addresses") as caught:
        results.dump(Result(interfaces=FULL.interfaces), version)
    assert caught.value.msg == "cannot convert: no valid IP addresses"
    assert caught.value.code == 7


@pytest.mark.parametrize(("version", "expected"), [*((v, {"dns": {}}) for v in VERSIONED), *((v, {}) for v in NEWEST)])
def test_empty_lists_are_omitted_and_an_empty_dns_only_since_1_0(version: str, expected: dict[str, Any]) -> None:
    assert results.dump(Result(), version) == {"cniVersion": version, **expected}


@pytest.mark.parametrize("version", ["0.5.0", "2.0.0", "x"])
def test_an_unknown_version_has_no_converter(version: str) -> None:
    with pytest.raises(CniError, match="no converter for results") as caught:
        results.dump(FULL, version)
    assert caught.value.code == 1


@pytest.mark.parametrize("version", BUCKETED)
def test_buckets_are_read_ip4_first_whatever_their_order(version: str) -> None:
    document = {
        "cniVersion": version,
        "ip6": {"ip": "fd00::5/64", "routes": [{"dst": "::/0", "gw": "fd00::1"}]},
        "ip4": {"ip": "10.1.0.5/24", "gateway": "10.1.0.1", "routes": [{"dst": "10.0.0.0/8"}]},
        "dns": {"domain": "example.org"},
    }
    assert results.parse(document, "1.1.0") == Result(
        ips=(Address(ip_interface("10.1.0.5/24"), ip_address("10.1.0.1")), Address(ip_interface("fd00::5/64"))),
        routes=(Route(ip_interface("10.0.0.0/8")), Route(ip_interface("::/0"), ip_address("fd00::1"))),
        dns=Dns(domain="example.org"),
    )


@pytest.mark.parametrize("version", VERSIONED)
def test_interfaces_before_1_0_had_three_members(version: str) -> None:
    document = {"interfaces": [{"name": "eth0", "mac": "m", "sandbox": "s", "mtu": 5, "socketPath": "p", "pciID": "i"}]}
    assert results.parse(document, version).interfaces == (Interface("eth0", mac="m", sandbox="s"),)


def test_the_version_of_an_address_is_not_read() -> None:
    document = {"ips": [{"version": "6", "address": "10.1.0.5/24"}]}
    assert results.dump(results.parse(document, "0.4.0"), "0.4.0")["ips"] == [
        {"version": "4", "address": "10.1.0.5/24"}
    ]


def test_a_document_of_its_own_version_is_read_in_that_shape() -> None:
    document = {"cniVersion": "0.2.0", "ip4": {"ip": "10.1.0.5/24"}}
    assert results.parse(document, "1.1.0").ips == (Address(ip_interface("10.1.0.5/24")),)


@pytest.mark.parametrize("document", [{"ip4": {"ip": "10.1.0.5/24"}}, {"cniVersion": "", "ip4": {"ip": "10.1.0.5/24"}}])
def test_a_document_without_a_version_has_the_callers(document: dict[str, Any]) -> None:
    assert results.parse(document, "0.2.0").ips == (Address(ip_interface("10.1.0.5/24")),)
    assert results.parse(document, "1.0.0").ips == ()


@pytest.mark.parametrize("document", [None, {}, {"ips": None, "interfaces": [], "dns": None, "routes": None}])
def test_null_and_empty_are_an_empty_result(document: Any) -> None:
    assert results.parse(document, "1.1.0") == Result()


def test_keys_are_read_in_any_case() -> None:
    document = {"CNIVersion": "1.0.0", "IPs": [{"Address": "10.1.0.5/24", "INTERFACE": 0}]}
    assert results.parse(document, "1.1.0").ips == (Address(ip_interface("10.1.0.5/24"), interface=0),)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "invalid result: expected a JSON object"),
        ("text", "invalid result: expected a JSON object"),
        ({"cniVersion": 5}, 'invalid value of "cniVersion"'),
        ({"cniVersion": "9.0.0"}, "unknown CNI version '9.0.0'"),
        ({"ips": {}}, 'invalid value of "ips"'),
        ({"ips": [5]}, r'invalid value of "ips\[0\]"'),
        ({"ips": [{}]}, r'missing "ips\[0\].address"'),
        ({"ips": [None]}, r'missing "ips\[0\].address"'),
        ({"ips": [{"address": ""}]}, r'invalid value of "ips\[0\].address": got ""'),
        ({"ips": [{"address": "10.1.0.5"}]}, r'invalid value of "ips\[0\].address": got "10.1.0.5"'),
        ({"ips": [{"address": "10.1.0.5/24", "gateway": "x"}]}, r'"ips\[0\].gateway"'),
        ({"ips": [{"address": "10.1.0.5/24", "interface": "0"}]}, r'"ips\[0\].interface"'),
        ({"interfaces": [{"name": 5}]}, r'"interfaces\[0\].name"'),
        ({"interfaces": [{"name": "a"}, {"mtu": -1}]}, r'"interfaces\[1\].mtu"'),
        ({"routes": [{}]}, r'missing "routes\[0\].dst"'),
        ({"routes": [{"dst": "default"}]}, r'"routes\[0\].dst"'),
        ({"routes": [{"dst": "::/0", "gw": "fe80::1%eth0"}]}, r'"routes\[0\].gw"'),
        ({"routes": [{"dst": "::/0", "priority": -1}]}, r'"routes\[0\].priority"'),
        ({"routes": [{"dst": "::/0", "mtu": 2**32}]}, r'"routes\[0\].mtu"'),
        ({"routes": [{"dst": "::/0", "advmss": 1.5}]}, r'"routes\[0\].advmss"'),
        ({"routes": [{"dst": "::/0", "table": "main"}]}, r'"routes\[0\].table"'),
        ({"routes": [{"dst": "::/0", "scope": 256}]}, r'"routes\[0\].scope"'),
        ({"dns": []}, '"dns"'),
        ({"dns": {"search": "a"}}, '"dns.search"'),
        ({"dns": {"nameservers": [5]}}, r'"dns.nameservers\[0\]"'),
        ({"cniVersion": "0.2.0", "ip4": {}}, 'missing "ip4.ip"'),
        ({"cniVersion": "0.2.0", "ip6": {"ip": "::1/128", "routes": [{}]}}, r'missing "ip6.routes\[0\].dst"'),
    ],
)
def test_a_malformed_result_is_refused_with_its_path(document: Any, message: str) -> None:
    with pytest.raises(CniError, match=message) as caught:
        results.parse(document, "1.1.0")
    assert caught.value.code in (1, 7)


UNKNOWN: dict[str, Any] = {
    "vendor": {"a": [1]},
    "interfaces": [{"name": "eth0", "speed": 10}],
    "ips": [{"address": "10.1.0.5/24", "pool": "blue"}],
    "routes": [{"dst": "::/0", "via": "x"}],
    "dns": {"timeout": 3},
}


@pytest.mark.parametrize("version", NEWEST)
def test_unknown_members_travel_along_at_every_level(version: str) -> None:
    assert results.dump(results.parse(UNKNOWN, version), version) == {"cniVersion": version, **UNKNOWN}


@pytest.mark.parametrize("version", VERSIONED)
def test_unknown_members_travel_along_before_1_0_too(version: str) -> None:
    printed = results.dump(results.parse(UNKNOWN, version), version)
    assert printed == {**UNKNOWN, "cniVersion": version, "ips": [{**UNKNOWN["ips"][0], "version": "4"}]}


def test_unknown_members_of_the_oldest_shape_travel_along_at_the_top() -> None:
    document = {"cniVersion": "0.2.0", "ip4": {"ip": "10.1.0.5/24"}, "dns": {}, "vendor": 1}
    assert results.dump(results.parse(document, "0.2.0"), "0.2.0") == document


@pytest.mark.parametrize("version", versions.SUPPORTED)
def test_without_prev_result_there_is_none(version: str) -> None:
    assert results.previous(JsonObject({}), version) is None
    assert results.previous(JsonObject({"prevResult": None}), version) is None


def test_an_empty_prev_result_is_an_empty_result() -> None:
    assert results.previous(JsonObject({"prevResult": {}}), "1.0.0") == Result()


@pytest.mark.parametrize("config_version", versions.SUPPORTED)
@pytest.mark.parametrize("own", versions.SUPPORTED)
def test_prev_result_is_of_the_configurations_family(config_version: str, own: str) -> None:
    config = JsonObject({"PrevResult": {"cniVersion": own}})
    if own in versions.family(config_version):
        assert results.previous(config, config_version) == Result()
        return
    with pytest.raises(CniError, match="could not parse prevResult: its version") as caught:
        results.previous(config, config_version)
    assert caught.value.code == 7


@pytest.mark.parametrize("config_version", versions.SUPPORTED)
def test_a_prev_result_without_version_has_the_configurations(config_version: str) -> None:
    config = JsonObject({"prevResult": results.dump(FULL, config_version) | {"cniVersion": None}})
    assert results.previous(config, config_version) == results.parse(results.dump(FULL, config_version), config_version)


@pytest.mark.parametrize(
    ("previous", "message"),
    [
        ("text", 'could not parse prevResult: invalid value of "prevResult": got "text"'),
        ([], 'could not parse prevResult: invalid value of "prevResult": got a list'),
        ({"ips": [{"address": 5}]}, 'could not parse prevResult: invalid value of "prevResult.ips[0].address": got 5'),
        ({"cniVersion": 1}, 'could not parse prevResult: invalid value of "prevResult.cniVersion": got 1'),
    ],
)
def test_a_malformed_prev_result_is_refused_with_its_path(previous: Any, message: str) -> None:
    with pytest.raises(CniError) as caught:
        results.previous(JsonObject({"prevResult": previous}), "1.1.0")
    assert (caught.value.code, caught.value.msg) == (7, message)


WORDS = st.text(max_size=8).filter(lambda text: "\0" not in text)
EXTRA = st.dictionaries(st.sampled_from(["vendor", "X", "org.example/key"]), st.integers() | WORDS, max_size=2)
NUMBERS = st.integers(0, 2**32 - 1)
IPS = st.ip_addresses().map(str).map(parse_address)


@st.composite
def networks(draw: st.DrawFn) -> IPInterface:
    address = draw(IPS)
    return ip_interface(f"{address}/{draw(st.integers(0, address.max_prefixlen))}")


INTERFACES = st.builds(Interface, WORDS, WORDS, NUMBERS, WORDS, WORDS, WORDS, EXTRA)
ADDRESSES = st.builds(Address, networks(), st.none() | IPS, st.none() | st.integers(0, 5), EXTRA)
ROUTED = st.builds(
    Route,
    networks(),
    st.none() | IPS,
    NUMBERS,
    NUMBERS,
    NUMBERS,
    st.none() | NUMBERS,
    st.none() | st.integers(0, 255),
    EXTRA,
)
NAMES = st.lists(WORDS, max_size=2).map(tuple)
RESULTS = st.builds(
    Result,
    st.lists(INTERFACES, max_size=2).map(tuple),
    st.lists(ADDRESSES, max_size=4).map(tuple),
    st.lists(ROUTED, max_size=3).map(tuple),
    st.builds(Dns, NAMES, WORDS, NAMES, NAMES, EXTRA),
    EXTRA,
)


def through(result: Result, version: str) -> Result:
    """Print and read `result` by way of JSON text."""
    return results.parse(json.loads(json.dumps(results.dump(result, version))), "0.1.0")


def first_of_each_family(result: Result) -> tuple[Address, ...]:
    firsts = (next((entry for entry in result.ips if entry.address.version == number), None) for number in (4, 6))
    return tuple(Address(entry.address, entry.gateway) for entry in firsts if entry)


@given(RESULTS, st.sampled_from(NEWEST))
def test_the_newest_shape_loses_nothing(result: Result, version: str) -> None:
    assert through(result, version) == result


@given(RESULTS, st.sampled_from(VERSIONED))
def test_the_middle_shape_loses_three_members_of_interfaces(result: Result, version: str) -> None:
    plain = tuple(replace(entry, mtu=0, socket_path="", pci_id="") for entry in result.interfaces)
    assert through(result, version) == replace(result, interfaces=plain)


@given(RESULTS.filter(lambda result: bool(result.ips)), st.sampled_from(BUCKETED))
def test_the_oldest_shape_keeps_the_first_address_of_each_family_and_its_routes(result: Result, version: str) -> None:
    kept = first_of_each_family(result)
    routes = [
        Route(route.dst, route.gw)
        for address in kept
        for route in result.routes
        if route.dst.version == address.address.version
    ]
    assert through(result, version) == Result(ips=kept, routes=tuple(routes), dns=result.dns, extra=result.extra)


@given(RESULTS.filter(lambda result: bool(result.ips)), st.sampled_from(versions.SUPPORTED))
def test_a_second_round_changes_nothing(result: Result, version: str) -> None:
    once = through(result, version)
    assert through(once, version) == once
    assert results.dump(once, version)["cniVersion"] == version


@given(RESULTS.filter(lambda result: bool(result.ips)), st.sampled_from([BUCKETED, VERSIONED, NEWEST]))
def test_versions_of_one_family_differ_in_the_label_only(result: Result, family: tuple[str, ...]) -> None:
    first, *others = ({**results.dump(result, version), "cniVersion": ""} for version in family)
    assert all(other == first for other in others)
