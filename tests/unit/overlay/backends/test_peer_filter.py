"""Claims: a lease is refused when it would take this host's subnet or address, leads to nobody, or lies outside the network;
the others are parted from those, each refusal with its subnet.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest

from overlay.backends import peer_filter
from overlay.config import network
from overlay.subnet import allocation
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease

CONFIG = network.parse('{"Network": "10.42.0.0/16", "Backend": {"Type": "alloc"}}', "x")


def lease(key: str, public: str) -> Lease:
    return Lease(allocation.parse_key(key), Attributes(IPv4Address(public)))


OWN = lease("10.42.1.0-24", "192.0.2.1")


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        (lease("10.42.2.0-24", "192.0.2.2"), ""),
        (lease("10.42.0.0-16", "192.0.2.2"), "overlaps this host's own 10.42.1.0/24"),
        (lease("10.42.2.0-24", "192.0.2.1"), "its PublicIP is this host's own"),
        (lease("10.42.2.0-24", "224.0.0.1"), "its PublicIP 224.0.0.1 is no host's address"),
        (lease("10.43.2.0-24", "192.0.2.2"), "outside 10.42.0.0/16"),
    ],
)
def test_what_could_harm_this_host_is_refused(peer: Lease, reason: str) -> None:
    assert peer_filter.problem(OWN, peer, CONFIG) == reason


def test_usable_and_refused_are_parted() -> None:
    good, bad = lease("10.42.2.0-24", "192.0.2.2"), lease("10.42.3.0-24", "192.0.2.3")
    assert peer_filter.divide([good, bad], lambda one: "no" if one is bad else "") == ([good], ("10.42.3.0/24: no",))


def test_a_subnet_of_another_family_is_not_within() -> None:
    assert not peer_filter.within(IPv6Network("::/120"), IPv4Network("0.0.0.0/0"))
