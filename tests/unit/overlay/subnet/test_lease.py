"""Claims: a store's entry becomes a lease; a malformed key or value becomes the refusal to report and is never raised."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from overlay.errors import Refused
from overlay.subnet import lease
from overlay.subnet.allocation import Subnet
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease


def test_an_entry_becomes_a_lease() -> None:
    parsed = lease.parse("10.5.9.0-24", '{"PublicIP":"192.0.2.1"}', version=7, ttl=60.0)
    assert parsed == Lease(Subnet(IPv4Network("10.5.9.0/24")), Attributes(IPv4Address("192.0.2.1")), 7)
    assert isinstance(parsed, Lease)
    assert parsed.ttl == 60.0


@pytest.mark.parametrize(("key", "value"), [("foo", "{}"), ("10.5.9.0-24", "["), ("10.5.9.0-24", b"\xff")])
def test_a_malformed_entry_is_reported_not_raised(key: str, value: str | bytes) -> None:
    assert isinstance(lease.parse(key, value), Refused)


def test_the_time_left_makes_no_difference() -> None:
    first, second = lease.parse("10.5.9.0-24", "{}", ttl=1.0), lease.parse("10.5.9.0-24", "{}", ttl=2.0)
    assert first == second
