"""Claims: the configuration of firewall is read with the reference's defaults, keys in any case; what cannot be meant is
refused with the key's name (code 7). What DEL reads of it is never refused.
"""

import json
from typing import Any

import pytest

from cni import request
from cni.errors import CniError
from cni.request import Request
from meta.firewall import config

ENVIRON = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c1",
    "CNI_NETNS": "/run/netns/x",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "/opt/cni/bin",
}


def asked(**keys: Any) -> Request:
    document = {"cniVersion": "1.0.0", "name": "net", "type": "firewall", **keys}
    return request.compose(ENVIRON, json.dumps(document).encode(), lambda _: None)


def test_defaults() -> None:
    assert config.parse(asked()) == config.Settings("", "CNI-ADMIN", "open")


@pytest.mark.parametrize("backend", ["iptables", "nftables", "firewalld"])
@pytest.mark.parametrize("policy", ["open", "same-bridge", "isolated"])
def test_keys_are_read_in_any_case(backend: str, policy: str) -> None:
    keys = {"BACKEND": backend, "IngressPolicy": policy, "IPTABLESadminChainName": "MINE"}
    assert config.parse(asked(**keys)) == config.Settings(backend, "MINE", policy)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("backend", value) for value in ("pf", "Firewalld", 1)),
        *(("iptablesAdminChainName", value) for value in ("a b", "-A", "x" * 29, "MINE\n", ["MINE"])),
        *(("firewalldZone", value) for value in ("a b", "x" * 129, "z\n", 7)),
        *(("ingressPolicy", value) for value in ("Isolated", "closed", 7)),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(CniError) as refused:
        config.parse(asked(**{key: value}))
    assert (refused.value.code, key in f"{refused.value.msg} {refused.value.remedy}") == (7, True)


@pytest.mark.parametrize(("backend", "left"), [("iptables", "iptables"), ("pf", ""), (7, ""), (["x"], ""), (None, "")])
def test_del_takes_any_backend(backend: Any, left: str) -> None:
    assert config.left_in(asked(backend=backend)) == left


@pytest.mark.parametrize(("zone", "left"), [("home", "home"), (None, "trusted"), ("a b", "trusted"), (7, "trusted")])
def test_del_takes_any_zone(zone: Any, left: str) -> None:
    assert config.zone_left_in(asked(firewalldZone=zone)) == left


def test_the_zone_is_trusted_unless_named() -> None:
    assert [config.parse(asked(firewalldZone=zone)).zone for zone in (None, "", "home")] == [
        "trusted",
        "trusted",
        "home",
    ]
