"""Claims about bridge.plan.

* Addresses sit on the container end; a gateway bridge without one from IPAM takes the first address of the subnet.
* A default route is added once a family, and only where none with a gateway exists.
* Gateways carry the subnet's prefix, IPv4 before IPv6, each once.
* The lease gives what the config leaves open: MTU, masquerade, the networks that are never translated.
* A delegate that read another lease is told to try again.
* A VLAN's gateway addresses sit on a link of their own.
* ADD's own result, planned again for CHECK, gives the same plan.
"""

from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import plan
from bridge.config import Settings
from cni.attachment_id import AttachmentID
from cni.errors import CniError
from cni.types import Address, Result, Route
from lease.file import Lease

SETTINGS = Settings(
    bridge="br0",
    is_gateway=True,
    is_default_gateway=True,
    force_address=False,
    ip_masq=None,
    masq_backend="",
    mtu=None,
    hairpin=False,
    promiscuous=False,
    isolated=False,
    detect_duplicates=False,
    container_down=False,
    vlan=0,
    trunk=(),
    vlan_filtering=False,
    keep_default_vlan=False,
    mac_check=False,
    spoof_check=False,
    mac="",
    ipam_type="host-local",
    subnet_file="/l",
    ipam_follows_lease=True,
    dns=None,
)
OWNER = AttachmentID("net", "c1", "eth0")
LEASE = Lease(
    networks=(IPv4Network("10.42.0.0/16"),),
    subnet=IPv4Interface("10.42.7.1/24"),
    ipv6_networks=(IPv6Network("fd00:42::/48"),),
    ipv6_subnet=IPv6Interface("fd00:42:0:7::1/64"),
    mtu=1450,
    ipmasq=False,
)
FOUR = Address(ip_interface("10.42.7.5/24"), ip_address("10.42.7.1"))
SIX = Address(ip_interface("fd00:42:0:7::5/64"), ip_address("fd00:42:0:7::1"))
DEFAULT = ip_interface("0.0.0.0/0")


def planned(
    *ips: Address, settings: Settings = SETTINGS, lease: Lease | None = LEASE, routes: tuple[Route, ...] = ()
) -> plan.Attachment:
    return plan.attachment(settings, OWNER, lease, Result(ips=ips, routes=routes), sandbox="/n")


def test_addresses_sit_on_the_container_end() -> None:
    assert [entry.interface for entry in planned(FOUR, SIX).addresses] == [plan.CONTAINER, plan.CONTAINER]


def test_a_missing_gateway_becomes_the_first_address_of_the_subnet() -> None:
    assert planned(replace(FOUR, gateway=None)).addresses[0].gateway == ip_address("10.42.7.1")


def test_a_bridge_that_is_no_gateway_invents_none() -> None:
    settings = replace(SETTINGS, is_gateway=False, is_default_gateway=False)
    assert planned(replace(FOUR, gateway=None), settings=settings).addresses[0].gateway is None


def test_each_family_gets_one_default_route() -> None:
    routes = planned(FOUR, FOUR, SIX).routes
    assert routes == (Route(DEFAULT, gw=FOUR.gateway), Route(ip_interface("::/0"), gw=SIX.gateway))


def test_an_explicit_default_route_stays_the_only_one() -> None:
    own = Route(DEFAULT, gw=ip_address("10.42.7.254"))
    assert planned(FOUR, routes=(own,)).routes == (own,)


def test_a_default_route_without_gateway_is_not_doubled() -> None:
    assert planned(FOUR, routes=(Route(DEFAULT),)).routes == (Route(DEFAULT, gw=FOUR.gateway),)


def test_gateways_carry_the_prefix_and_stand_once_ipv4_first() -> None:
    second = replace(FOUR, address=ip_interface("10.42.7.6/24"))
    assert planned(SIX, FOUR, second).gateways == (ip_interface("10.42.7.1/24"), ip_interface("fd00:42:0:7::1/64"))


@pytest.mark.parametrize(("configured", "expected"), [(None, 1450), (1300, 1300)])
def test_the_lease_gives_the_mtu_the_config_leaves_open(configured: int | None, expected: int) -> None:
    assert planned(FOUR, settings=replace(SETTINGS, mtu=configured)).mtu == expected


@pytest.mark.parametrize(
    ("configured", "daemon_masquerades", "expected"),
    [(None, False, True), (None, True, False), (True, True, True), (False, False, False)],
)
def test_masquerade_is_the_bridges_when_it_is_not_the_daemons(
    configured: bool | None, daemon_masquerades: bool, expected: bool
) -> None:
    lease = replace(LEASE, ipmasq=daemon_masquerades)
    rules = planned(FOUR, settings=replace(SETTINGS, ip_masq=configured), lease=lease).masquerade
    assert bool(rules) is expected


def test_overlay_traffic_is_never_translated() -> None:
    four, six = planned(FOUR, SIX).masquerade
    assert four == plan.Masquerade(ip_address("10.42.7.5"), (ip_network("10.42.0.0/16"),))
    assert six == plan.Masquerade(ip_address("fd00:42:0:7::5"), (ip_network("fd00:42::/48"),))


def test_without_a_lease_only_the_own_subnet_is_spared() -> None:
    rules = planned(FOUR, settings=replace(SETTINGS, ip_masq=True), lease=None).masquerade
    assert rules == (plan.Masquerade(ip_address("10.42.7.5"), (ip_network("10.42.7.0/24"),)),)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(8, 30)), max_size=6))
def test_spared_networks_never_overlap(drawn: list[tuple[int, int]]) -> None:
    networks = tuple(IPv4Network((base, length), strict=False) for base, length in drawn)
    lease = replace(LEASE, networks=(*LEASE.networks, *networks))
    (rule,) = planned(FOUR, lease=lease).masquerade
    assert all(not one.overlaps(other) for one in rule.inside for other in rule.inside if one is not other)
    spared = [each for each in rule.inside if isinstance(each, IPv4Network)]
    assert all(any(network.subnet_of(each) for each in spared) for network in lease.networks)


def test_a_delegate_with_another_lease_is_told_to_try_again() -> None:
    moved = Result(ips=(replace(FOUR, address=ip_interface("10.42.9.5/24")),))
    with pytest.raises(CniError, match=r"10\.42\.9\.5/24.*10\.42\.7\.0/24") as refused:
        plan.same_reading(SETTINGS, LEASE, moved)
    assert refused.value.code == 11


def test_a_delegate_with_ranges_of_its_own_is_left_alone() -> None:
    moved = Result(ips=(replace(FOUR, address=ip_interface("172.16.0.5/24")),))
    plan.same_reading(replace(SETTINGS, ipam_follows_lease=False), LEASE, moved)
    assert planned(*moved.ips).addresses[0].address == ip_interface("172.16.0.5/24")


def test_check_plans_what_add_planned() -> None:
    first = planned(FOUR, SIX, routes=(Route(ip_interface("10.42.0.0/16")),))
    assert planned(*first.addresses, routes=first.routes) == first


def test_a_vlan_has_a_gateway_link_of_its_own_only_when_there_is_a_gateway() -> None:
    tagged = replace(SETTINGS, vlan=100, vlan_filtering=True)
    assert (planned(FOUR, settings=tagged).gateway_vlan, planned(FOUR, settings=tagged).gateway_link) == (
        100,
        "br0.100",
    )
    layer2 = planned(settings=tagged)
    assert (layer2.gateway_vlan, layer2.gateway_link, layer2.members[0].vid) == (0, "br0", 100)


def test_the_alias_names_network_container_and_interface() -> None:
    assert OWNER.alias == "net/c1/eth0"
