"""Claims: a passage is for every address of prevResult once, by family; a policy needs the bridge that prevResult begins with."""

from ipaddress import ip_address, ip_interface

import pytest

from cni.attachment_id import AttachmentID
from cni.errors import CniError
from cni.types import Address, Interface, Result
from meta.firewall import plan
from meta.firewall.config import Settings

OWNER = AttachmentID("net", "c1", "eth0")
BRIDGE, HOST_END, INSIDE = Interface("br0"), Interface("veth0"), Interface("eth0", sandbox="/run/netns/x")
BOTH = tuple(Address(ip_interface(each)) for each in ("fd00::5/64", "10.1.0.5/24", "10.1.0.5/16"))


def test_addresses_count_once_and_families_are_in_order() -> None:
    made = plan.passage(Settings("", "ADMIN", "open"), OWNER, Result(interfaces=(BRIDGE, INSIDE), ips=BOTH))
    assert made.addresses == (ip_address("fd00::5"), ip_address("10.1.0.5"))
    assert (made.families, made.of_family(4), made.bridge) == ((4, 6), (ip_address("10.1.0.5"),), "")


@pytest.mark.parametrize("policy", ["same-bridge", "isolated"])
def test_a_policy_is_for_the_first_interface(policy: str) -> None:
    made = plan.passage(Settings("", "ADMIN", policy), OWNER, Result(interfaces=(BRIDGE, HOST_END, INSIDE), ips=BOTH))
    assert (made.policy, made.bridge) == (policy, "br0")


@pytest.mark.parametrize("interfaces", [(), (INSIDE,), (Interface(""),)], ids=["none", "inside", "nameless"])
def test_a_policy_without_a_bridge_is_refused(interfaces: tuple[Interface, ...]) -> None:
    with pytest.raises(CniError, match="ingressPolicy isolated needs a bridge"):
        plan.passage(Settings("", "ADMIN", "isolated"), OWNER, Result(interfaces=interfaces, ips=BOTH))


def test_nothing_is_asked_for_without_an_address() -> None:
    assert plan.passage(Settings("", "ADMIN", "open"), OWNER, Result()).families == ()
