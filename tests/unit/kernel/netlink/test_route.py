"""Claims: what is written reads back as the same entry, in both families; a deletion names what an addition made; every message is
whole and aligned; a value that does not fit, and a gateway of the other family, are ValueErrors; every hop of a multipath route is read.
"""

import struct
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from kernel.netlink import route
from kernel.netlink.objects import FdbEntry, Neighbour, NextHop, Route
from kernel.netlink.requests import AddFdb, AddNeighbour, AddRoute, DeleteFdb, DeleteNeighbour, DeleteRoute

MAC, OCTETS = "02:00:00:00:00:07", bytes.fromhex("020000000007")
FULL = AddRoute(
    ip_network("10.5.9.0/24"),
    gateway=ip_address("10.5.9.0"),
    link=7,
    onlink=True,
    priority=5,
    table=1000,
    mtu=1450,
    advmss=1410,
    source=ip_address("10.5.1.1"),
)
SIX = AddRoute(ip_network("fd00:5::/64"), gateway=ip_address("fd00:5::"), link=7)


def entry(request: AddRoute) -> Route:
    """Say what the kernel would list."""
    return Route(
        request.dst,
        request.gateway,
        request.link or 0,
        request.onlink,
        request.priority,
        request.table,
        request.scope or 0,
        request.protocol,
        source=request.source,
        mtu=request.mtu,
        advmss=request.advmss,
    )


@pytest.mark.parametrize("request_", [FULL, SIX, AddRoute(ip_network("0.0.0.0/0"), link=3, scope=253)])
def test_a_route_reads_back(request_: AddRoute) -> None:
    data = route.add_route(request_)
    assert route.configured_route(bytes(data)) == entry(request_)
    assert (struct.unpack_from("=I", data)[0], len(data) % 4) == (len(data), 0)


@pytest.mark.parametrize("text", ["10.5.9.0", "fd00:5::"])
def test_a_neighbour_reads_back(text: str) -> None:
    data = route.add_neighbour(AddNeighbour(7, ip_address(text), MAC), OCTETS)
    assert route.neighbour(bytes(data)) == Neighbour(7, ip_address(text), MAC, permanent=True)
    assert route.fdb(bytes(data)) is None


@pytest.mark.parametrize("text", ["192.0.2.2", "2001:db8::2"])
def test_a_forwarding_entry_reads_back(text: str) -> None:
    data = route.add_fdb(AddFdb(7, MAC, ip_address(text)), OCTETS)
    assert route.fdb(bytes(data)) == FdbEntry(7, MAC, ip_address(text), permanent=True)
    assert route.neighbour(bytes(data)) is None


def test_a_deletion_names_what_an_addition_made() -> None:
    gone = DeleteRoute(FULL.dst, gateway=FULL.gateway, link=FULL.link, priority=FULL.priority, table=FULL.table)
    read = route.route(bytes(route.delete_route(gone)))
    assert read == replace(entry(FULL), onlink=False, scope=255, protocol=0, source=None, mtu=0, advmss=0)
    there = route.neighbour(bytes(route.delete_neighbour(DeleteNeighbour(7, ip_address("10.5.9.0")))))
    assert there == Neighbour(7, ip_address("10.5.9.0"), "", permanent=False)
    fdb = route.fdb(bytes(route.delete_fdb(DeleteFdb(7, MAC, ip_address("192.0.2.2")), OCTETS)))
    assert fdb == FdbEntry(7, MAC, ip_address("192.0.2.2"), permanent=True)


@pytest.mark.parametrize("change", [{"link": 2**40}, {"priority": -1}, {"mtu": 2**32}, {"table": 2**32}])
def test_a_value_that_does_not_fit_is_a_value_error(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="does not fit a netlink message"):
        route.add_route(replace(FULL, **change))  # type: ignore[arg-type]


def test_a_gateway_of_the_other_family_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="is not of the family"):
        route.add_route(replace(FULL, gateway=ip_address("fd00::1")))


def test_every_hop_is_read() -> None:
    gateway = struct.pack("=HH", 8, route.RTA_GATEWAY) + ip_address("192.0.2.1").packed
    hops = struct.pack("=HBBi", 16, route.RTNH_F_ONLINK, 2, 5) + gateway + struct.pack("=HBBi", 8, 0, 0, 6)
    plain = bytes(route.add_route(AddRoute(ip_network("10.5.0.0/16"))))
    read = route.route(plain + struct.pack("=HH", 4 + len(hops), route.RTA_MULTIPATH) + hops)
    assert read is not None
    assert read.hops == (NextHop(ip_address("192.0.2.1"), 5, onlink=True, weight=3), NextHop(None, 6))
