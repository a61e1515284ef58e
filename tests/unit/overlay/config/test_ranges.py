"""Claims about whether a network's range is free on a host:

- every address and route of the host that overlaps it is named, in either direction, but for the default route
- what is the network's own, a daemon's device or the named bridge, is not in its way
- what is in a subnet the host has had is left out
- loopback, multicast and link-local ranges are no network's; a public one is doubtful
"""

from ipaddress import IPv4Address, ip_interface, ip_network

import pytest

from kernel.netlink.objects import Address, Link, Route
from overlay.config import ranges

NETWORK = ip_network("10.42.0.0/16")
LINKS = (Link(1, "lo"), Link(2, "eth0"), Link(3, "flannel.1"), Link(4, "tulle0"), Link(5, "tun0"))


def overlaps(addresses: tuple[tuple[str, int], ...] = (), routes: tuple[tuple[str, int], ...] = ()) -> list[str]:
    held = tuple(Address(link, ip_interface(text)) for text, link in addresses)
    known = tuple(Route(ip_network(text), IPv4Address("192.0.2.1"), link) for text, link in routes)
    return list(ranges.overlaps(NETWORK, LINKS, held, known, ("tulle0",)))


@pytest.mark.parametrize(
    ("addresses", "routes", "found"),
    [
        ((("10.42.3.4/24", 2),), (("10.42.3.0/24", 2),), ["the address 10.42.3.4/24 of eth0"]),
        ((("10.1.2.3/8", 2),), (), ["the address 10.1.2.3/8 of eth0"]),
        ((), (("10.42.9.0/24", 5),), ["the route 10.42.9.0/24 via 192.0.2.1 dev tun0"]),
        ((), (("10.0.0.0/8", 5),), ["the route 10.0.0.0/8 via 192.0.2.1 dev tun0"]),
        ((), (("0.0.0.0/0", 2),), []),
        ((("192.0.2.11/24", 2), ("fd00::1/64", 2)), (("fd00::/64", 2),), []),
        ((("10.42.1.0/32", 3), ("10.42.1.1/24", 4)), (("10.42.2.0/24", 3), ("10.42.1.0/24", 4)), []),
    ],
)
def test_what_overlaps_is_named(
    addresses: tuple[tuple[str, int], ...], routes: tuple[tuple[str, int], ...], found: list[str]
) -> None:
    assert overlaps(addresses, routes) == found


def test_what_is_in_a_subnet_the_host_has_had_is_left_out() -> None:
    bridge = Address(2, ip_interface("10.42.1.1/24"))
    other = Address(2, ip_interface("10.42.2.1/24"))
    within, wider = (Route(ip_network(text), link=2) for text in ("10.42.1.7/32", "10.42.0.0/16"))
    seen = ranges.Seen(LINKS, (bridge, other), (within, wider))
    assert seen.outside([ip_network("10.42.1.0/24")]) == ranges.Seen(LINKS, (other,), (wider,))


@pytest.mark.parametrize(
    ("cidr", "forbidden", "doubtful"),
    [
        ("10.42.0.0/16", False, False),
        ("172.20.0.0/16", False, False),
        ("100.64.0.0/16", False, False),
        ("fd00:42::/48", False, False),
        ("8.8.0.0/16", False, True),
        ("2001:db8::/32", False, True),
        ("127.0.0.0/16", True, True),
        ("224.0.0.0/16", True, True),
        ("169.254.0.0/16", True, True),
    ],
)
def test_ranges_that_are_no_network_s_are_told(cidr: str, forbidden: bool, doubtful: bool) -> None:
    network = ip_network(cidr)
    assert (bool(ranges.forbidden(network)), bool(ranges.doubtful(network))) == (forbidden, doubtful)
