"""Claims: a store's entry becomes a lease; a malformed key or value becomes the refusal to report and is never raised."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from overlay import leases
from overlay.attributes import Attributes
from overlay.errors import Refused
from overlay.leases import Lease
from overlay.subnets import Subnet


def test_an_entry_becomes_a_lease() -> None:
    parsed = leases.parse("10.5.9.0-24", '{"PublicIP":"192.0.2.1"}', version=7, ttl=60.0)
    assert parsed == Lease(Subnet(IPv4Network("10.5.9.0/24")), Attributes(IPv4Address("192.0.2.1")), 7)
    assert isinstance(parsed, Lease)
    assert parsed.ttl == 60.0


@pytest.mark.parametrize(("key", "value"), [("foo", "{}"), ("10.5.9.0-24", "["), ("10.5.9.0-24", b"\xff")])
def test_a_malformed_entry_is_reported_not_raised(key: str, value: str | bytes) -> None:
    assert isinstance(leases.parse(key, value), Refused)


def test_the_time_left_makes_no_difference() -> None:
    first, second = leases.parse("10.5.9.0-24", "{}", ttl=1.0), leases.parse("10.5.9.0-24", "{}", ttl=2.0)
    assert first == second
