"""Claims: flannel's defaults, bounds and overrides for both families (docs/reference/flannel.md 1.1); every impossible config is
refused with the member's path and a remedy; two configs differ only in what both say.
"""

from ipaddress import IPv4Network, IPv6Network, ip_address

import pytest

from overlay.config import documents, network
from overlay.config.network import Difference, NetworkConfig, Pool
from overlay.errors import Refused

VXLAN = '"Backend": {"Type": "vxlan"}'


def parsed(members: str) -> NetworkConfig:
    return network.parse(f"{{{members}, {VXLAN}}}", "net.json")


def bounds(pool: Pool) -> tuple[int, str, str]:
    address = ip_address if pool.network.version == 4 else type(pool.network.network_address)
    return pool.length, str(address(pool.first)), str(address(pool.last))


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ('"Network": "10.3.0.0/16"', (24, "10.3.1.0", "10.3.255.0")),
        ('"network": "10.3.0.0/16"', (24, "10.3.1.0", "10.3.255.0")),
        ('"Network": "10.3.0.0/22"', (24, "10.3.1.0", "10.3.3.0")),
        ('"Network": "10.3.0.0/23"', (25, "10.3.0.128", "10.3.1.128")),
        ('"Network": "10.3.0.0/28"', (30, "10.3.0.4", "10.3.0.12")),
        ('"Network": "10.3.0.0/16", "SubnetLen": 28', (28, "10.3.0.16", "10.3.255.240")),
        ('"Network": "10.3.0.0/16", "SubnetMin": "10.3.5.0", "SubnetMax": "10.3.8.0"', (24, "10.3.5.0", "10.3.8.0")),
    ],
)
def test_an_ipv4_pool_has_flannels_length_and_bounds(members: str, expected: tuple[int, str, str]) -> None:
    assert bounds(parsed(members).ipv4) == expected


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ('"IPv6Network": "fc00::/48"', (64, "fc00:0:0:1::", "fc00:0:0:ffff::")),
        ('"IPv6Network": "fc00::/63"', (65, "fc00::8000:0:0:0", "fc00:0:0:1:8000::")),
        ('"IPv6Network": "fc00::/48", "IPv6SubnetLen": 56', (56, "fc00:0:0:100::", "fc00:0:0:ff00::")),
    ],
)
def test_an_ipv6_pool_has_flannels_length_and_bounds(members: str, expected: tuple[int, str, str]) -> None:
    pool = parsed(f'"Network": "10.3.0.0/16", "EnableIPv6": true, {members}').ipv6
    assert pool is not None
    assert bounds(pool) == expected


def test_an_ipv6_network_is_not_used_unless_enabled() -> None:
    assert parsed('"Network": "10.3.0.0/16", "IPv6Network": "fc00::/48"').networks == (IPv4Network("10.3.0.0/16"),)


def test_networks_of_both_families_are_listed_ipv4_first() -> None:
    config = parsed('"Network": "10.3.0.0/16", "EnableIPv6": true, "IPv6Network": "fc00::/48"')
    assert config.networks == (IPv4Network("10.3.0.0/16"), IPv6Network("fc00::/48"))


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ('"Networks": "10.3.0.0/16"', "Network is null: no network"),
        ('"Network": "0.0.0.0/0"', "Network is .*no network"),
        ('"Network": "fc00::/48"', "Network is .*not an IPv4 network"),
        ('"Network": "10.3.0.0/29"', "too small for four subnets; take /28"),
        ('"Network": "10.3.0.0/16", "SubnetLen": 31', "SubnetLen is 31.*0 to 30"),
        ('"Network": "10.3.0.0/16", "SubnetLen": 17', "SubnetLen is 17.*take 18 or more"),
        ('"Network": "10.3.0.0/16", "SubnetMin": "10.4.0.0"', "SubnetMin is .*not in the range"),
        ('"Network": "10.3.0.0/16", "SubnetMax": "10.3.5.1"', "SubnetMax is .*boundary; take 10.3.5.0"),
        ('"Network": "10.3.0.0/16", "SubnetMin": "10.3.9.0", "SubnetMax": "10.3.5.0"', "above SubnetMax"),
        ('"Network": "10.3.0.0/16", "EnableIPv4": false', "EnableIPv4 is false"),
        ('"Network": "10.3.0.0/16", "EnableIPv6": true', "IPv6Network is null: no network"),
        ('"Network": "10.3.0.0/16", "EnableIPv6": 1', "EnableIPv6 is 1: not a boolean"),
        ('"Network": "10.3.0.0/16", "EnableIPv6": true, "IPv6Network": "10.0.0.0/8"', "not an IPv6 network"),
        ('"Network": "10.3.0.0/16", "EnableIPv6": true, "IPv6Network": "fc00::/125"', "take /124"),
    ],
)
def test_an_impossible_config_is_refused_with_path_and_remedy(members: str, problem: str) -> None:
    with pytest.raises(Refused, match=problem) as refused:
        parsed(members)
    assert refused.value.remedy


@pytest.mark.parametrize("backend", ['"x": 1', '"Backend": null', '"Backend": {}', '"Backend": {"VNI": 1}'])
def test_a_config_without_backend_type_is_refused(backend: str) -> None:
    with pytest.raises(Refused, match=r'Backend.* is missing.*add "Backend"'):
        network.parse(f'{{"Network": "10.3.0.0/16", {backend}}}', "net.json")


def test_the_backend_type_is_read_in_lower_case() -> None:
    assert network.parse('{"Network": "10.3.0.0/16", "Backend": {"Type": "VXLAN"}}', "x").backend_type == "vxlan"


def test_configs_differ_in_what_both_say() -> None:
    wanted = documents.parse('{"Network": "10.9.0.0/16", "Backend": {"VNI": 1, "Type": "vxlan"}}', "flags")
    stored = documents.parse('{"Network": "10.3.0.0/16", "Backend": {"type": "VXLAN", "vni": 2}}', "store")
    assert network.differences(wanted, stored) == (
        Difference("Network", "10.9.0.0/16", "10.3.0.0/16"),
        Difference("Backend.VNI", 1, 2),
    )


def test_spelling_and_silence_make_no_difference() -> None:
    wanted = documents.parse('{"Network": "10.3.0.1/16"}', "flags")
    stored = documents.parse('{"Network": "10.3.0.0/16", "SubnetLen": 24, "Backend": {"Type": "vxlan"}}', "store")
    assert network.differences(wanted, stored) == ()


def test_a_difference_shows_both_values() -> None:
    assert str(Difference("Backend.Port", 4789, None)) == "Backend.Port is 4789 here but absent in the store"
