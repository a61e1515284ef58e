"""Claims about meta.portmap.plan (docs/reference/cni.md 4.1, "Container addresses", ADD).

* The first address of each family in the container counts; what is known to be elsewhere does not.
* 127.0.0.0/8 crosses a route only for mappings that want it, and only for IPv4 with snat.
* Named host addresses are those of families the container has.
"""

from ipaddress import ip_address, ip_interface

import pytest

from cni.attachment_id import AttachmentID
from cni.types import Address, Interface, Result
from meta.portmap import config, plan
from meta.portmap.config import PortMapping
from tests.unit.meta.portmap.asking import MAPPING, asked

HERE, THERE = Interface("eth0", sandbox="/x"), Interface("eth0")
OWNER = AttachmentID("net", "c1", "eth0")


def earlier(*entries: tuple[str, int | None]) -> Result:
    interfaces = (Interface("br0"), THERE, HERE, Interface("eth1", sandbox="/x"))
    return Result(interfaces, tuple(Address(ip_interface(text), interface=index) for text, index in entries))


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([("10.0.0.1/24", 2), ("10.0.0.2/24", 2), ("fd00::1/64", 2)], ["10.0.0.1/24", "fd00::1/64"]),
        ([("10.0.0.1/24", 0), ("10.0.0.2/24", 1), ("10.0.0.3/24", 3), ("10.0.0.4/24", 2)], ["10.0.0.4/24"]),
        ([("10.0.0.1/24", None)], ["10.0.0.1/24"]),
        ([("10.0.0.1/24", 9)], ["10.0.0.1/24"]),
        ([("10.0.0.1/24", -1)], ["10.0.0.1/24"]),
        ([("fd00::1/64", 2), ("10.0.0.1/24", 2)], ["10.0.0.1/24", "fd00::1/64"]),
        ([], []),
    ],
)
def test_the_first_address_of_each_family_in_the_container_counts(
    entries: list[tuple[str, int | None]], expected: list[str]
) -> None:
    assert [str(each) for each in plan.container_addresses(earlier(*entries), "eth0")] == expected


@pytest.mark.parametrize(
    ("hosts", "family", "snat", "wanted"),
    [
        ((None,), 4, True, True),
        (("0.0.0.0",), 4, True, True),
        (("127.0.0.5",), 4, True, True),
        (("10.0.0.5",), 4, True, False),
        (("::",), 4, True, False),
        ((None,), 6, True, False),
        ((None,), 4, False, False),
    ],
)
def test_the_loopback_crosses_only_where_it_is_wanted(
    hosts: tuple[str | None, ...], family: int, snat: bool, wanted: bool
) -> None:
    mappings = tuple(PortMapping("tcp", 80, 80, ip_address(host) if host else None) for host in hosts)
    side = plan.Side(ip_interface("10.1.0.5/24" if family == 4 else "fd00::5/64"))
    assert plan.Publication(OWNER, (side,), mappings, snat=snat).from_loopback == wanted


def test_settings_and_addresses_make_a_publication() -> None:
    named = [{**MAPPING, "hostIP": host} for host in ("10.0.0.5", "10.0.0.5", "fd00::7", "0.0.0.0")]
    settings = config.parse(asked(*named, conditionsV4=["!", "-s", "10.0.0.1"], markMasqBit=5))
    made = plan.publication(settings, OWNER, earlier(("10.1.0.5/24", 2)))
    assert (made.families, made.mark_bit, made.sides[0].conditions) == ((4,), 5, ("!", "-s", "10.0.0.1"))
    assert made.addresses == (ip_address("10.0.0.5"),)
    assert [each.host_port for each in made.of_family(6)] == [8080]
