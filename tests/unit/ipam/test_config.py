"""host-local's configuration.

Claims: sets come in the order runtime, old style, `ranges`; the reference's refusals come in its words; what the
configuration says explicitly wins over the lease; `exclude` reaches every set, the lease's too; wishes come from three sources in one order; a wrong value is refused
with the path of its key.
"""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cni.errors import CniError
from cni.request import Request, compose
from ipam import config
from ipam.config import Settings
from lease import file

LEASE = file.parse(
    "FLANNEL_NETWORK=10.42.0.0/16,10.44.0.0/16\nFLANNEL_SUBNET=10.42.1.9/24\nFLANNEL_IPV6_NETWORK=fd00:42::/48\n"
    "FLANNEL_IPV6_SUBNET=fd00:42:0:1::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
)


def request(ipam: Any, *, cni_args: str = "", version: str = "1.1.0", **top: Any) -> Request:
    document = {"cniVersion": version, "name": "blue", "type": "bridge", "ipam": ipam, **top}
    return compose({"CNI_COMMAND": "ADD", "CNI_ARGS": cni_args}, json.dumps(document).encode(), lambda text: None)


def parsed(ipam: Any, **options: Any) -> Settings:
    return config.parse(request({"type": "host-local", **ipam}, **options))


def leased(**ipam: Any) -> Settings:
    return config.with_lease(parsed({"subnetFile": "/run/flannel/subnet.env", **ipam}), LEASE)


def sets(settings: Settings) -> list[str]:
    return [str(each) for each in settings.sets]


def routes(settings: Settings) -> list[tuple[str, str]]:
    return [(str(route.dst), str(route.gw)) for route in settings.routes]


def test_sets_come_from_the_runtime_then_the_old_style_then_ranges() -> None:
    settings = parsed(
        {"subnet": "10.2.0.0/24", "ranges": [[{"subnet": "10.3.0.0/24"}], [{"subnet": "fd00::/64"}]]},
        runtimeConfig={"ipRanges": [[{"subnet": "10.1.0.0/30"}, {"subnet": "10.1.1.0/30"}]]},
    )
    assert sets(settings) == [
        "10.1.0.1-10.1.0.2,10.1.1.1-10.1.1.2",
        "10.2.0.1-10.2.0.254",
        "10.3.0.1-10.3.0.254",
        "fd00::1-fd00::ffff:ffff:ffff:ffff",
    ]


def test_keys_match_in_any_case_as_the_references_do() -> None:
    settings = parsed(
        {"Subnet": "10.1.2.0/24", "rangestart": "10.1.2.9", "RANGEEND": "10.1.2.20", "GateWay": "10.1.2.30"}
    )
    assert sets(settings) == ["10.1.2.9-10.1.2.20"]
    assert str(settings.sets[0].ranges[0].gateway) == "10.1.2.30"


def test_bounds_of_the_old_style_without_a_subnet_are_ignored() -> None:
    assert sets(parsed({"rangeStart": "10.9.9.9", "ranges": [[{"subnet": "10.1.0.0/30"}]]})) == ["10.1.0.1-10.1.0.2"]


@pytest.mark.parametrize(
    ("ipam", "refusal"),
    [
        ({}, "no IP ranges specified"),
        ({"ranges": []}, "no IP ranges specified"),
        ({"ranges": [[]]}, "invalid range set 0: empty range set"),
        ({"ranges": [[{}]]}, "invalid range set 0: IP <nil> not v4 nor v6"),
        (
            {"ranges": [[{"subnet": "10.1.0.0/31"}]]},
            "invalid range set 0: Network 10.1.0.0/31 too small to allocate from",
        ),
        (
            {"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.2.0.0/24"}, {"subnet": "fd00::/64"}]]},
            "invalid range set 1: mixed address families",
        ),
        (
            {"ranges": [[{"subnet": "10.1.0.0/24"}, {"subnet": "10.1.0.0/28"}]]},
            "invalid range set 0: subnets 10.1.0.1-10.1.0.254 and 10.1.0.1-10.1.0.14 overlap",
        ),
        (
            {"ranges": [[{"subnet": "10.1.0.0/24"}, {"subnet": "10.1.4.0/24"}], [{"subnet": "10.1.4.0/24"}]]},
            "range set 0 overlaps with 1",
        ),
        ({"subnet": "10.1.0.0"}, 'invalid value of "ipam.subnet": got "10.1.0.0"'),
        ({"subnet": 7}, 'invalid value of "ipam.subnet": got 7'),
        (
            {"ranges": [[{"subnet": "10.1.0.0/24", "gateway": "10.1.0.01"}]]},
            'invalid value of "ipam.ranges[0][0].gateway": got "10.1.0.01"',
        ),
        ({"subnet": "10.1.0.0/24", "dataDir": "networks"}, 'invalid value of "ipam.dataDir": got "networks"'),
        ({"subnet": "10.1.0.0/24", "subnetFile": "env"}, 'invalid value of "ipam.subnetFile": got "env"'),
        ({"subnet": "10.1.0.0/24", "exclude": "10.1.0.9"}, 'invalid value of "ipam.exclude": got "10.1.0.9"'),
        ({"subnet": "10.1.0.0/24", "exclude": ["any"]}, 'invalid value of "ipam.exclude[0]": got "any"'),
        (
            {"subnet": "10.1.0.0/24", "exclude": ["10.1.0.4", "10.1.0.9/28"]},
            'invalid value of "ipam.exclude[1]": got "10.1.0.9/28"',
        ),
        ({"subnet": "10.1.0.0/24", "reclaim": "yes"}, 'invalid value of "ipam.reclaim": got "yes"'),
        ({"subnet": "10.1.0.0/24", "routes": [{"dst": "any"}]}, 'invalid value of "ipam.routes[0].dst": got "any"'),
    ],
)
def test_refusals(ipam: Any, refusal: str) -> None:
    with pytest.raises(CniError) as refused:
        parsed(ipam)
    assert (refused.value.code, refused.value.msg) == (7, refusal)
    assert refused.value.remedy


def test_missing_ipam_is_refused() -> None:
    with pytest.raises(CniError, match="IPAM config missing 'ipam' key"):
        config.parse(request(None))


def excluded(settings: Settings) -> list[list[str]]:
    return [[str(network) for network in each.ranges[0].excluded] for each in settings.sets]


def test_exclude_reaches_the_sets_of_its_family() -> None:
    ipam = {"ranges": [[{"subnet": "10.2.0.0/24"}], [{"subnet": "fd00::/64"}]]}
    assert excluded(parsed({**ipam, "Exclude": ["10.2.0.64/28", "fd00::9", "10.2.0.9", "::ffff:10.2.0.8"]})) == [
        ["10.2.0.8/31", "10.2.0.64/28"],
        ["fd00::9/128"],
    ]
    assert excluded(parsed(ipam)) == [[], []]


def test_exclude_reaches_the_sets_of_the_lease() -> None:
    assert excluded(leased(exclude=["10.42.1.128/25"])) == [["10.42.1.128/25"], []]


def test_reclaim_reaches_this_machine_unless_something_else_is_asked_for() -> None:
    assert parsed({"subnet": "10.1.0.0/24"}).reclaim is None
    assert parsed({"subnet": "10.1.0.0/24", "reclaim": False}).reclaim is False
    assert parsed({"subnet": "10.1.0.0/24", "reclaim": True}).reclaim


@pytest.mark.parametrize(("version", "accepted"), [("0.2.0", False), ("0.3.0", True)])
def test_two_sets_of_a_family_need_version_0_3_0(version: str, *, accepted: bool) -> None:
    ipam = {"subnet": "10.1.0.0/24", "ranges": [[{"subnet": "10.2.0.0/24"}]]}
    if accepted:
        assert len(parsed(ipam, version=version).sets) == 2
    else:
        with pytest.raises(CniError, match=r"^CNI version 0.2.0 does not support more than 1 address per family"):
            parsed(ipam, version=version)


def test_one_set_of_each_family_suits_every_version() -> None:
    assert len(parsed({"ranges": [[{"subnet": "10.2.0.0/24"}], [{"subnet": "fd00::/64"}]]}, version="0.1.0").sets) == 2


@pytest.mark.parametrize(
    ("ipam", "top", "expected"),
    [
        ({"subnetFile": "/a"}, {"subnetFile": "/b"}, "/a"),
        ({}, {"subnetFile": "/b"}, "/b"),
        ({"subnet": "10.1.0.0/24"}, {}, ""),
    ],
)
def test_subnet_file_of_ipam_wins(ipam: Any, top: Any, expected: str) -> None:
    assert parsed(ipam, **top).subnet_file == expected


def test_lease_gives_a_set_a_subnet_with_the_gateway_it_writes() -> None:
    settings = leased()
    assert sets(settings) == ["10.42.1.1-10.42.1.254", "fd00:42:0:1::1-fd00:42:0:1:ffff:ffff:ffff:ffff"]
    assert [str(each.ranges[0].gateway) for each in settings.sets] == ["10.42.1.9", "fd00:42:0:1::1"]


def test_lease_gives_a_route_a_network_behind_the_configured_ones() -> None:
    assert routes(leased(routes=[{"dst": "0.0.0.0/0"}])) == [
        ("0.0.0.0/0", "None"),
        ("10.42.0.0/16", "None"),
        ("10.44.0.0/16", "None"),
        ("fd00:42::/48", "None"),
    ]


def test_configured_route_to_a_network_replaces_the_leases() -> None:
    assert routes(leased(routes=[{"dst": "10.44.0.0/16", "gw": "10.42.1.77"}])) == [
        ("10.44.0.0/16", "10.42.1.77"),
        ("10.42.0.0/16", "None"),
        ("fd00:42::/48", "None"),
    ]


def test_explicit_ranges_win_over_the_lease() -> None:
    assert sets(leased(ranges=[[{"subnet": "10.42.1.0/24", "rangeStart": "10.42.1.128"}]])) == [
        "10.42.1.128-10.42.1.254"
    ]


def test_wishes_come_from_args_then_metadata_then_the_runtime() -> None:
    asked = request(
        {"subnet": "10.1.0.0/24"},
        cni_args="IgnoreUnknown=1;K8S_POD_NAME=web;IP=10.1.0.3",
        args={"cni": {"ips": ["10.1.0.4/24", "fd00::4"]}},
        runtimeConfig={"ips": ["::ffff:10.1.0.5"]},
    )
    assert [str(each) for each in config.requested(asked)] == ["10.1.0.3", "10.1.0.4", "fd00::4", "10.1.0.5"]


@pytest.mark.parametrize(
    ("cni_args", "top", "code", "refusal"),
    [
        ("IP=10.1.0", {}, 4, "invalid value of IP in CNI_ARGS"),
        ("IP=10.1.0.3;", {}, 4, "ARGS: invalid pair"),
        ("MAC=02:00:00:00:00:01", {}, 4, "ARGS: unknown args"),
        ("", {"args": {"cni": {"ips": ["10.1.0.3", "x"]}}}, 7, 'invalid value of "args.cni.ips[1]": got "x"'),
        ("", {"runtimeConfig": {"ips": ["10.1.0.3/255.255.255.0"]}}, 7, 'invalid value of "runtimeConfig.ips[0]"'),
        ("", {"runtimeConfig": {"ips": "10.1.0.3"}}, 7, 'invalid value of "runtimeConfig.ips"'),
    ],
)
def test_a_wish_that_is_no_address_is_refused(cni_args: str, top: Any, code: int, refusal: str) -> None:
    with pytest.raises(CniError) as refused:
        config.requested(request({"subnet": "10.1.0.0/24"}, cni_args=cni_args, **top))
    assert refused.value.code == code
    assert refused.value.msg.startswith(refusal)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["10.1.0.0/24", "fd00::/64", "10.1.0.9", "/x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["subnet", "rangeStart", "gateway", "dst", "gw"]), inner)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["subnet", "rangeEnd", "ranges", "routes", "dataDir", "resolvConf", "exclude", "reclaim", "gateway", "subnetFile"]
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a busy machine is no finding
@given(st.dictionaries(KEYS, JSON), st.dictionaries(st.sampled_from(["runtimeConfig", "args", "subnetFile"]), JSON))
def test_any_configuration_is_settings_or_one_refusal(ipam: Any, top: Any) -> None:
    asked = request(ipam, **top)
    try:
        outcome: object = (config.parse(asked), config.requested(asked))
    except CniError as refusal:
        outcome = refusal.code
    assert outcome == 7 or isinstance(outcome, tuple)
