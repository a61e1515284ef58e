"""Claims about meta.portmap.config (docs/reference/cni.md 4.1, configuration; 7a).

* Defaults are the reference's; its refusals are kept word for word, the container's port being judged first.
* Protocols, ports and host addresses are checked: nothing unchecked becomes part of a rule.
* The options tell the backend; options of two backends are refused.
* DEL's view refuses nothing but a wrong directory, and sees mappings in any spelling.
"""

from ipaddress import ip_address
from typing import Any

import pytest

from cni.errors import CniError
from meta.portmap import config
from meta.portmap.config import PortMapping
from tests.unit.meta.portmap.asking import MAPPING, asked

LEGACY, MODERN = ["!", "-s", "192.0.2.0/24"], ["ip saddr != 192.0.2.0/24"]


def test_defaults_are_the_references() -> None:
    settings = config.parse(asked())
    assert (settings.backend, settings.snat, settings.masquerade_all, settings.mark_bit) == ("", True, False, 13)
    assert (settings.set_mark_chain, settings.mappings, settings.data_dir) == ("", (), "/var/lib/tulle/portmap")


def test_mappings_are_read_in_any_case_and_once() -> None:
    wordy = {"HostPort": 8080, "ContainerPort": 80, "Protocol": "UDP", "HostIP": "::ffff:10.0.0.5"}
    wanted = PortMapping("udp", 8080, 80, ip_address("10.0.0.5"))
    assert config.parse(asked(wordy, wordy)).mappings == (wanted,)
    assert config.parse(asked({"hostPort": 1, "containerPort": 2})).mappings == (PortMapping("tcp", 1, 2),)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"hostPort": 0, "containerPort": 0}, "Invalid container port number: 0"),
        ({"hostPort": 0, "containerPort": 80}, "Invalid host port number: 0"),
        ({"hostPort": -1, "containerPort": 80}, "Invalid host port number: -1"),
        ({"hostPort": 80, "containerPort": 65536}, "Invalid container port number: 65536"),
        ({**MAPPING, "protocol": "icmp"}, 'invalid value of "runtimeConfig.portMappings[0].protocol": got "icmp"'),
        ({**MAPPING, "protocol": 'tcp" ; flush'}, "invalid value of"),
        ({**MAPPING, "hostIP": "10.0.0.5; drop"}, 'invalid value of "runtimeConfig.portMappings[0].hostIP"'),
        ({**MAPPING, "hostIP": "fe80::1%eth0"}, 'invalid value of "runtimeConfig.portMappings[0].hostIP"'),
    ],
)
def test_a_bad_mapping_is_refused(mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(CniError) as refused:
        config.parse(asked(mapping))
    assert refused.value.msg.startswith(message)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"backend": "pf"}, 'unrecognized backend "pf"'),
        ({"markMasqBit": 32}, "MasqMarkBit must be between 0 and 31"),
        ({"markMasqBit": 5, "externalSetMarkChain": "X"}, "Cannot specify externalSetMarkChain and markMasqBit"),
        (
            {"backend": "iptables", "conditionsV4": MODERN, "conditionsV6": ["ip6 saddr ::1"]},
            "iptables backend was requested but configuration contains nftables-specific options [conditionsV4 conditionsV6]",
        ),
        (
            {"backend": "nftables", "externalSetMarkChain": "X", "conditionsV6": ["-s", "::1"]},
            "nftables backend was requested but configuration contains iptables-specific options [externalSetMarkChain conditionsV6]",
        ),
        ({"externalSetMarkChain": "-j DROP"}, 'invalid value of "externalSetMarkChain"'),
        ({"backend": "nftables", "conditionsV4": ["drop"]}, 'invalid value of "conditionsV4"'),
        ({"dataDir": "here"}, 'invalid value of "dataDir"'),
    ],
)
def test_contradictions_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(CniError) as refused:
        config.parse(asked(**keys))
    assert refused.value.msg.startswith(message)


@pytest.mark.parametrize(
    ("keys", "backend"),
    [
        ({"externalSetMarkChain": "X"}, "iptables"),
        ({"conditionsV4": LEGACY}, "iptables"),
        ({"conditionsV4": MODERN}, "nftables"),
        ({"conditionsV4": MODERN, "backend": "nftables"}, "nftables"),
    ],
)
def test_options_tell_the_backend(keys: dict[str, Any], backend: str) -> None:
    assert config.parse(asked(**keys)).backend == backend


@pytest.mark.parametrize(
    ("runtime", "mapped"),
    [({"PortMappings": [0]}, True), ({"portMappings": []}, False), ({}, False), (None, False), ("junk", False)],
)
def test_del_refuses_nothing_of_the_configuration(runtime: Any, mapped: bool) -> None:
    left = config.parse_leftovers(asked(runtimeConfig=runtime, backend=5, markMasqBit="x"))
    assert (left.maybe_mapped, left.data_dir) == (mapped, config.DATA_DIR)


def test_a_mapping_concerns_the_family_of_its_address() -> None:
    every, four, six = (PortMapping("tcp", 1, 1, host) for host in (None, ip_address("0.0.0.0"), ip_address("fd00::1")))
    assert [[each.concerns(family) for family in (4, 6)] for each in (every, four, six)] == [
        [True, True],
        [True, False],
        [False, True],
    ]
    assert [each.only_at for each in (every, four, six)] == [None, None, ip_address("fd00::1")]
