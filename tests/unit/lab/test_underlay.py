"""Claims about the plan of the pretend underlay:

- hosts are numbered on their own segment, in order; IPv6 only when asked for
- every host and the router get a cable to the host's segment, and a segment is laid once
- hosts route by default through their segment's router; the router has no route of its own
- outside knows the way to the hosts and to nothing else
"""

from ipaddress import IPv4Interface, IPv6Interface

from tests.lab import underlay

PLACED = underlay.standings({"a": 1, "b": 1, "c": 2})


def test_hosts_are_numbered_on_their_own_segment() -> None:
    addresses = [str(standing.address) for standing in PLACED]

    assert addresses == ["192.168.1.11/24", "192.168.1.12/24", "192.168.2.11/24"]


def test_ipv6_is_given_only_when_asked_for() -> None:
    (dual,) = underlay.standings({"a": 7}, dual=True)

    assert PLACED[0].address6 is None
    assert dual.address6 == IPv6Interface("fd00:192:168:7::11/64")


def test_a_segment_is_laid_once_for_all_its_hosts() -> None:
    lines = underlay.wires(PLACED)

    assert lines.count("link add segment1 type bridge") == 1
    assert "link set a master segment1 up" in lines
    assert "link set b master segment1 up" in lines
    assert "link set c master segment2 up" in lines


def test_the_router_has_a_foot_on_every_segment_and_no_route() -> None:
    lines = underlay.router(PLACED)

    assert "address add 192.168.1.1/24 dev segment1" in lines
    assert "address add 192.168.2.1/24 dev segment2" in lines
    assert not [line for line in lines if "route" in line]


def test_a_host_routes_through_its_segments_router() -> None:
    (dual,) = underlay.standings({"a": 2}, dual=True)

    assert "route add default via 192.168.2.1" in underlay.host(PLACED[2])
    assert "route add ::/0 via fd00:192:168:2::1" in underlay.host(dual)


def test_outside_knows_the_hosts_and_nothing_else() -> None:
    routes = [line for line in underlay.outside() if line.startswith("route")]

    assert routes == ["route add 192.168.0.0/16 via 203.0.113.1"]
    assert underlay.OUTSIDE not in IPv4Interface("192.168.0.0/16").network
