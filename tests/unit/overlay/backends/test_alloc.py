"""Claims: alloc publishes addresses alone, byte for byte (docs/reference/flannel.md 2.2), and wants nothing of the kernel."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from overlay.backends import Desired, Underlay, registry
from overlay.config import network
from overlay.subnet import allocation, attributes
from overlay.subnet.lease import Lease

CONFIG = network.parse('{"Network": "10.42.0.0/16", "Backend": {"Type": "alloc"}}', "x")
ME = Underlay("eth0", 1500, IPv4Address("1.2.3.4"), IPv6Address("2001:db8::1"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("10.42.1.0-24", '{"PublicIP":"1.2.3.4","PublicIPv6":null}'),
        ("10.42.1.0-24&fd00:42:0:1::-64", '{"PublicIP":"1.2.3.4","PublicIPv6":"2001:db8::1"}'),
    ],
)
def test_the_value_names_no_backend(key: str, value: str) -> None:
    backend = registry.build(CONFIG, ME, {})
    assert attributes.encode(backend.attributes(allocation.parse_key(key))) == value


def test_nothing_is_wanted_and_the_mtu_is_the_interfaces() -> None:
    backend = registry.build(CONFIG, ME, {})
    own = Lease(allocation.parse_key("10.42.1.0-24"), backend.attributes(allocation.parse_key("10.42.1.0-24")))
    assert (backend.desired(own, [own]), backend.mtu) == (Desired(), 1500)
