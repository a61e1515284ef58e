"""Claims about bridge.config.

* The reference's defaults hold, and `subnetFile` makes the bridge a gateway.
* The MAC comes from the strongest source that names one.
* IPAM follows the lease unless it has addresses of its own or names another file.
* VLAN filtering follows from the keys; contradictions and bad values are refused with the key and its value.
* What DEL needs is read without refusing anything.
"""

import json
from typing import Any

import pytest

from bridge import config
from cni import request
from cni.errors import CniError, Code
from cni.types import Dns


def asked(cni_args: str = "", **keys: Any) -> request.Request:
    environ = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/n",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": cni_args,
    }
    stdin = json.dumps({"cniVersion": "1.0.0", "name": "net", "type": "bridge", **keys}).encode()
    return request.compose({**environ, "CNI_PATH": "/p"}, stdin, lambda _: None)


def test_defaults_are_the_references() -> None:
    settings = config.parse(asked())
    assert (settings.bridge, settings.is_gateway, settings.ip_masq, settings.mtu) == ("cni0", False, None, None)
    assert (settings.hairpin, settings.isolated, settings.container_down, settings.dns) == (False, False, False, None)


def test_keys_match_in_any_case() -> None:
    assert config.parse(asked(BRIDGE="br7", ISGATEWAY=True)).is_gateway


def test_default_gateway_implies_gateway() -> None:
    assert config.parse(asked(isGateway=False, isDefaultGateway=True)).is_gateway


def test_a_lease_makes_the_bridge_a_gateway_unless_the_config_says_no() -> None:
    assert config.parse(asked(subnetFile="/l")).is_gateway
    assert not config.parse(asked(subnetFile="/l", isGateway=False)).is_gateway


@pytest.mark.parametrize(
    ("args", "keys", "mac"),
    [
        ("MAC=02:00:00:00:00:01", {}, "02:00:00:00:00:01"),
        ("MAC=02:00:00:00:00:01", {"args": {"cni": {"mac": "02:00:00:00:00:02"}}}, "02:00:00:00:00:02"),
        (
            "",
            {"args": {"cni": {"mac": "02:00:00:00:00:02"}}, "runtimeConfig": {"mac": "02:00:00:00:00:0A"}},
            "02:00:00:00:00:0a",
        ),
        ("IgnoreUnknown=1;K8S_POD_NAME=x", {}, ""),
    ],
)
def test_the_strongest_source_of_a_mac_wins(args: str, keys: dict[str, Any], mac: str) -> None:
    assert config.parse(asked(args, **keys)).mac == mac


@pytest.mark.parametrize("text", ["02:00:5e:10:00:0A", "02-00-5E-10-00-0a", "0200.5e10.000a"])
def test_a_mac_may_be_written_as_the_references_library_reads_it(text: str) -> None:
    assert config.parse(asked(runtimeConfig={"mac": text})).mac == "02:00:5e:10:00:0a"


@pytest.mark.parametrize(
    "text", ["0200.5e10", "02:00:5e:10:00", "02:00:5e:10:00:0a:00", "2:0:5e:10:0:a", "02:00-5e:10:00:0a"]
)
def test_what_is_no_mac_is_refused(text: str) -> None:
    with pytest.raises(CniError, match="invalid MAC address"):
        config.parse(asked(runtimeConfig={"mac": text}))


@pytest.mark.parametrize(
    ("ipam", "follows"),
    [
        ({"type": "host-local"}, True),
        ({"type": "host-local", "subnetFile": "/l"}, True),
        ({"type": "host-local", "subnetFile": "/other"}, False),
        ({"type": "host-local", "ranges": [[{"subnet": "10.0.0.0/24"}]]}, False),
        ({"type": "host-local", "subnet": "10.0.0.0/24"}, False),
        ({"type": "static", "addresses": [{"address": "10.0.0.5/24"}]}, False),
    ],
)
def test_ipam_follows_the_lease_unless_it_has_its_own(ipam: dict[str, Any], follows: bool) -> None:
    assert config.parse(asked(subnetFile="/l", ipam=ipam)).ipam_follows_lease is follows


@pytest.mark.parametrize(
    ("keys", "filtering"), [({}, False), ({"vlan": 0}, False), ({"vlan": 5}, True), ({"vlanTrunk": []}, True)]
)
def test_a_vlan_or_a_trunk_even_an_empty_one_turns_filtering_on(keys: dict[str, Any], filtering: bool) -> None:
    assert config.parse(asked(**keys)).vlan_filtering is filtering


def test_the_default_vlan_is_left_unless_asked_for() -> None:
    assert not config.parse(asked(vlan=5)).keep_default_vlan
    assert config.parse(asked(vlan=5, preserveDefaultVlan=True)).keep_default_vlan


@pytest.mark.parametrize("backend", ["", "iptables", "nftables"])
def test_the_masquerade_backend_is_one_of_two_or_left_open(backend: str) -> None:
    assert config.parse(asked(ipMasqBackend=backend)).masq_backend == backend


@pytest.mark.parametrize(
    ("dns", "wanted"),
    [
        ({}, None),
        ({"domain": "a.example"}, Dns(domain="a.example")),
        ({"nameservers": []}, Dns()),
        ({"nameservers": ["192.0.2.1"], "search": ["b"]}, Dns(nameservers=("192.0.2.1",), search=("b",))),
    ],
)
def test_dns_replaces_ipams_when_any_list_is_present(dns: dict[str, Any], wanted: Dns | None) -> None:
    assert config.parse(asked(dns=dns)).dns == wanted


@pytest.mark.parametrize(
    ("keys", "code", "part"),
    [
        ({"hairpinMode": True, "promiscMode": True}, Code.INVALID_CONFIG, "hairpin"),
        ({"disableContainerInterface": True, "ipam": {"type": "host-local"}}, Code.INVALID_CONFIG, "IPAM"),
        ({"mtu": -1}, Code.INVALID_CONFIG, '"mtu": got -1'),
        ({"mtu": "1500"}, Code.INVALID_CONFIG, '"mtu"'),
        ({"isGateway": "yes"}, Code.INVALID_CONFIG, '"isGateway"'),
        ({"ipam": {"type": 5}}, Code.INVALID_CONFIG, '"ipam.type"'),
        ({"runtimeConfig": {"mac": "zz:00:00:00:00:01"}}, Code.INVALID_CONFIG, "zz:00"),
        ({"ipMasq": True, "ipMasqBackend": "pf"}, Code.INVALID_CONFIG, 'unknown ipmasq backend "pf"'),
        ({"vlan": 4095}, Code.INVALID_CONFIG, "invalid VLAN ID 4095 (must be between 0 and 4094)"),
        ({"vlanTrunk": [{"id": 0}]}, Code.INVALID_CONFIG, "incorrect trunk id parameter"),
        ({"vlanTrunk": {}}, Code.INVALID_CONFIG, '"vlanTrunk"'),
        ({"macspoofchk": 1}, Code.INVALID_CONFIG, '"macspoofchk"'),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_key_and_value(keys: dict[str, Any], code: Code, part: str) -> None:
    with pytest.raises(CniError) as refused:
        config.parse(asked(**keys))
    assert (refused.value.code, part in refused.value.msg) == (code, True)


@pytest.mark.parametrize("keys", [{}, {"ipMasq": False}, {"ipMasq": False, "subnetFile": "/l"}])
def test_a_backend_that_masquerades_nothing_is_not_judged(keys: dict[str, Any]) -> None:
    assert config.parse(asked(ipMasqBackend="pf", **keys)).masq_backend == ""


@pytest.mark.parametrize(
    ("keys", "masquerade"),
    [
        ({}, False),
        ({"ipMasq": True}, True),
        ({"subnetFile": "/l"}, True),
        ({"subnetFile": "/l", "ipMasq": False}, False),
    ],
)
def test_leftovers_are_told_without_refusing(keys: dict[str, Any], masquerade: bool) -> None:
    left = config.parse_leftovers(asked("MAC", vlan=9999, hairpinMode=True, promiscMode=True, **keys))
    assert left == config.Leftovers(
        ipam_type="", may_masquerade=masquerade, mac_check=False, spoof_check="subnetFile" in keys
    )
