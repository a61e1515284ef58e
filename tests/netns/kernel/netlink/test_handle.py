"""Claims about kernel.netlink.handle against the real kernel.

- every request does what it says, and what was done is read back as written
- a veth is complete after one request: both ends, master, MTU, MAC, up
- refusals are KernelErrors with the request in words, `gone` or `exists`
- a batch carries on after a refusal, and each request gets its own
- dumps return one link's, one table's, one family's entries when asked
- a dump overtaken by changes is repeated, five times at most, then used as it is
- a network stays in its namespace, and the process in its own
"""

import errno
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv6Address, ip_address, ip_interface, ip_network

import pytest

from kernel import netns, sysctl
from kernel.errors import KernelError
from kernel.netlink.handle import Handle
from kernel.netlink.objects import DADFAILED, Address, FdbEntry, Neighbour, Route, VxlanInfo
from kernel.netlink.requests import (
    AddAddress,
    AddBridge,
    AddFdb,
    AddNeighbour,
    AddRoute,
    AddVeth,
    AddVxlan,
    DeleteAddress,
    DeleteFdb,
    DeleteLink,
    DeleteNeighbour,
    DeleteRoute,
    Request,
    SetLink,
)
from kernel.netlink.transport import Dump, Message, Transport
from kernel.sysctl import Parameter
from tests.netns.spaces import Space

MAC = "02:00:00:00:00:07"
NET = ip_network("10.9.0.0/24")
NET6 = ip_network("fd09::/64")


@pytest.fixture
def bridge(host: Space) -> int:
    """A bridge `br0` that is up, with 10.1.0.1/24 and fd01::1/64."""
    host.network.apply(AddBridge("br0"))
    index = host.index("br0")
    host.network.apply(AddAddress(index, ip_interface("10.1.0.1/24")))
    host.network.apply(AddAddress(index, ip_interface("fd01::1/64"), nodad=True))
    return index


@pytest.fixture
def vxlan(host: Space, bridge: int) -> int:
    """A vxlan device `flannel.1` that is up, over br0."""
    host.network.apply(AddVxlan("flannel.1", 1, bridge, ip_address("10.1.0.1"), mac=MAC))
    host.network.apply(SetLink("flannel.1", up=True))
    return host.index("flannel.1")


def test_a_bridge_has_the_name_mtu_and_mac_asked_for(host: Space) -> None:
    host.network.apply(AddBridge("br0", mtu=1450, mac=MAC))
    link = host.network.link("br0")
    assert link is not None
    assert (link.kind, link.mtu, link.mac, link.up, link.master) == ("bridge", 1450, MAC, True, 0)


def test_a_bridge_may_be_left_down(host: Space) -> None:
    host.network.apply(AddBridge("br0", up=False))
    link = host.network.link("br0")
    assert link is not None
    assert not link.up


def test_one_request_makes_a_complete_veth(host: Space, container: Space, bridge: int) -> None:
    host.network.apply(AddVeth("veth0", "eth0", container.namespace, mtu=1400, peer_mac=MAC, master=bridge))
    near, far = host.network.link("veth0"), container.network.link("eth0")
    assert near is not None
    assert far is not None
    assert (near.kind, near.mtu, near.master, near.up) == ("veth", 1400, bridge, True)
    assert (far.kind, far.mtu, far.mac, far.up) == ("veth", 1400, MAC, False)
    assert (near.peer, far.peer) == (far.index, near.index)


def test_a_veth_without_a_peer_namespace_has_both_ends_here(host: Space) -> None:
    host.network.apply(AddVeth("a", "b", None, up=False))
    assert {"a", "b"} <= {link.name for link in host.network.links()}


def test_alias_and_port_flags_go_along_with_the_veth_in_one_send(host: Space, container: Space, bridge: int) -> None:
    labelled = SetLink("veth0", alias="net/id/eth0", hairpin=True, isolated=True)
    host.network.apply(AddVeth("veth0", "eth0", container.namespace, master=bridge), labelled)
    link = host.network.link("veth0")
    assert link is not None
    assert (link.alias, link.hairpin, link.isolated) == ("net/id/eth0", True, True)


def test_one_request_joins_a_bridge_and_sets_port_flags(host: Space, bridge: int) -> None:
    host.network.apply(AddVeth("a", "b", None), SetLink("a", master=bridge, hairpin=True, isolated=False))
    link = host.network.link("a")
    assert link is not None
    assert (link.master, link.hairpin, link.isolated) == (bridge, True, False)


def test_a_link_can_be_changed_by_index(host: Space, bridge: int) -> None:
    host.network.apply(SetLink(bridge, up=False, mtu=1300, mac=MAC, alias="ours"))
    link = host.network.link(bridge)
    assert link is not None
    assert (link.up, link.mtu, link.mac, link.alias) == (False, 1300, MAC, "ours")


def test_master_0_leaves_the_bridge(host: Space, bridge: int) -> None:
    host.network.apply(AddVeth("a", "b", None, master=bridge), SetLink("a", master=0))
    link = host.network.link("a")
    assert link is not None
    assert (link.master, link.hairpin) == (0, None)


def test_an_empty_alias_removes_it(host: Space, bridge: int) -> None:
    host.network.apply(SetLink(bridge, alias="ours"), SetLink(bridge, alias=""))
    link = host.network.link(bridge)
    assert link is not None
    assert link.alias == ""


@pytest.mark.parametrize("by_name", [True, False])
def test_deleting_one_end_of_a_veth_deletes_both(host: Space, container: Space, *, by_name: bool) -> None:
    host.network.apply(AddVeth("veth0", "eth0", container.namespace))
    container.network.apply(DeleteLink("eth0" if by_name else container.index("eth0")))
    assert host.network.link("veth0") is None


def test_a_vxlan_is_flannels_kind_of_device(host: Space, bridge: int) -> None:
    local = ip_address("10.1.0.1")
    host.network.apply(AddVxlan("flannel.1", 1, bridge, local, mtu=1400, mac=MAC))
    link = host.network.link("flannel.1")
    assert link is not None
    assert link.vxlan == VxlanInfo(vni=1, port=8472, local=local, parent=bridge, learning=False)
    assert (link.mac, link.mtu, link.up) == (MAC, 1400, False)
    shown = host.run("ip", "-d", "link", "show", "flannel.1")
    assert "nolearning" in shown
    assert "noudpcsum" not in shown
    assert "qlen" not in shown


def test_a_vxlan_takes_an_ipv6_address_a_port_and_learning(host: Space, bridge: int) -> None:
    local = ip_address("fd01::1")
    host.network.apply(AddVxlan("flannel-v6.7", 7, bridge, local, port=4789, learning=True))
    link = host.network.link("flannel-v6.7")
    assert link is not None
    assert link.vxlan == VxlanInfo(vni=7, port=4789, local=local, parent=bridge, learning=True)


@pytest.mark.parametrize("text", ["10.9.0.5/24", "10.9.0.5/32", "10.9.0.4/31", "fd09::5/64", "fd09::5/128"])
def test_an_address_is_read_back_as_set_until_it_is_deleted(host: Space, bridge: int, text: str) -> None:
    address = ip_interface(text)
    host.network.apply(AddAddress(bridge, address, nodad=True))
    found = [each for each in host.network.addresses(bridge) if each.address == address]
    assert [(each.permanent, each.tentative, each.scope) for each in found] == [(True, False, 0)]
    host.network.apply(DeleteAddress(bridge, address))
    assert address not in {each.address for each in host.network.addresses(bridge)}


@pytest.mark.parametrize(("text", "broadcast"), [("10.9.0.5/24", True), ("10.9.0.4/31", False), ("10.9.0.5/32", False)])
def test_a_broadcast_address_is_set_where_there_is_one(host: Space, bridge: int, text: str, *, broadcast: bool) -> None:
    host.network.apply(AddAddress(bridge, ip_interface(text)))
    line = next(line for line in host.run("ip", "-o", "addr", "show", "br0").splitlines() if "10.9.0." in line)
    assert ("brd 10.9.0.255" in line) == broadcast


def test_replace_accepts_an_address_that_is_there(host: Space, bridge: int) -> None:
    address = ip_interface("10.1.0.1/24")
    host.network.apply(AddAddress(bridge, address, replace=True))
    with pytest.raises(
        KernelError, match=r"Address already assigned|File exists"
    ) as refused:  # Linux 6.1 has no words of its own for it
        host.network.apply(AddAddress(bridge, address))
    assert refused.value.exists


def test_a_tentative_address_says_so(host: Space, bridge: int) -> None:
    address = ip_interface("fd09::9/64")
    host.network.apply(AddAddress(bridge, address))
    assert [each.tentative for each in host.network.addresses(bridge) if each.address == address] == [True]


def test_a_failed_address_is_known_by_its_flag() -> None:
    address = Address(1, ip_interface("fd09::9/64"), flags=DADFAILED)
    assert address.dadfailed
    assert not replace(address, flags=0).dadfailed


@pytest.mark.parametrize(
    ("request_", "entry"),
    [
        (AddRoute(NET, gateway=ip_address("10.1.0.9")), Route(NET, ip_address("10.1.0.9"), protocol=3)),
        (AddRoute(NET), Route(NET, scope=253, protocol=3)),
        (AddRoute(NET, scope=0, protocol=4), Route(NET, scope=0, protocol=4)),
        (
            AddRoute(NET, gateway=ip_address("10.7.7.7"), onlink=True),
            Route(NET, ip_address("10.7.7.7"), onlink=True, protocol=3),
        ),
        (
            AddRoute(NET, priority=50, mtu=1300, advmss=1200, source=ip_address("10.1.0.1")),
            Route(NET, scope=253, protocol=3, priority=50, mtu=1300, advmss=1200, source=ip_address("10.1.0.1")),
        ),
        (AddRoute(NET, table=1000), Route(NET, scope=253, protocol=3, table=1000)),
        (
            AddRoute(ip_network("0.0.0.0/0"), gateway=ip_address("10.1.0.9")),
            Route(ip_network("0.0.0.0/0"), ip_address("10.1.0.9"), protocol=3),
        ),
        (
            AddRoute(NET6, gateway=ip_address("fd01::9")),
            Route(NET6, ip_address("fd01::9"), protocol=3, priority=1024),
        ),
        (
            AddRoute(ip_network("::/0"), gateway=ip_address("fd01::9"), priority=7, mtu=1300),
            Route(ip_network("::/0"), ip_address("fd01::9"), protocol=3, priority=7, mtu=1300),
        ),
    ],
    ids=["gateway", "link", "scope", "onlink", "metrics", "table", "default", "six", "default6"],
)
def test_a_route_is_read_back_as_set_until_it_is_deleted(
    host: Space, bridge: int, request_: AddRoute, entry: Route
) -> None:
    host.network.apply(replace(request_, link=bridge))
    assert replace(entry, link=bridge) in host.network.routes(table=request_.table)
    host.network.apply(DeleteRoute(request_.dst, request_.gateway, bridge, table=request_.table))
    assert request_.dst not in {each.dst for each in host.network.routes(table=request_.table)}


def test_replace_puts_a_route_in_the_place_of_another(host: Space, bridge: int) -> None:
    first, second = ip_address("10.1.0.8"), ip_address("10.1.0.9")
    host.network.apply(AddRoute(NET, first, bridge), AddRoute(NET, second, bridge, replace=True))
    assert [each.gateway for each in host.network.routes() if each.dst == NET] == [second]


def test_appended_ipv6_routes_become_one_multipath_route(host: Space, bridge: int) -> None:
    gateways = [ip_address("fd01::8"), ip_address("fd01::9")]
    host.network.apply(*(AddRoute(NET6, gateway, bridge, append=True) for gateway in gateways))
    found = [each for each in host.network.routes(link=bridge) if each.dst == NET6]
    assert {hop.gateway for each in found for hop in each.hops} == set(gateways)
    assert {hop.link for each in found for hop in each.hops} == {bridge}


def test_appended_ipv4_routes_stand_side_by_side(host: Space, bridge: int) -> None:
    gateways = {ip_address("10.1.0.8"), ip_address("10.1.0.9")}
    host.network.apply(*(AddRoute(NET, gateway, bridge, append=True) for gateway in gateways))
    assert {each.gateway for each in host.network.routes() if each.dst == NET} == gateways


@pytest.mark.parametrize("dst", [NET, NET6])
def test_an_appended_exact_duplicate_is_refused_as_existing(host: Space, bridge: int, dst: object) -> None:
    gateway = ip_address("10.1.0.9" if dst is NET else "fd01::9")
    route = AddRoute(NET if dst is NET else NET6, gateway, bridge, append=True)
    first, second = host.network.attempt([route, route])
    assert first is None
    assert second is not None
    assert second.exists


def test_a_blackhole_route_is_read_as_one(host: Space) -> None:
    host.run("ip", "route", "add", "blackhole", str(NET))
    assert [(each.kind, each.link) for each in host.network.routes() if each.dst == NET] == [("blackhole", 0)]


@pytest.mark.parametrize("text", ["10.9.0.0/24", "fd00:9::/64"])
def test_a_blackhole_is_set_beside_another_route_and_deleted_alone(host: Space, bridge: int, text: str) -> None:
    net = ip_network(text)
    host.network.apply(AddRoute(net, link=bridge, priority=7), AddRoute(net, priority=1024, blackhole=True))
    assert sorted(one.kind for one in host.network.routes() if one.dst == net) == ["blackhole", "unicast"]
    host.network.apply(DeleteRoute(net, priority=1024, blackhole=True))
    assert [one.kind for one in host.network.routes() if one.dst == net] == ["unicast"]


def test_routes_are_read_by_table_family_and_link(host: Space, bridge: int) -> None:
    host.network.apply(AddVeth("a", "b", None), AddRoute(NET, link=bridge, table=7))
    assert [each.dst for each in host.network.routes(table=7)] == [NET]
    assert host.network.routes(table=8) == ()
    assert {each.dst.version for each in host.network.routes(family=socket.AF_INET6)} == {6}
    assert {each.link for each in host.network.routes(link=bridge)} == {bridge}


def test_the_way_to_an_address_names_link_gateway_and_source(host: Space, bridge: int) -> None:
    host.network.apply(AddVeth("a", "b", None, master=bridge), SetLink("b", up=True))
    host.network.apply(AddRoute(NET, ip_address("10.1.0.9"), bridge))
    way = host.network.route_to(ip_address("10.9.0.77"))
    assert way is not None
    assert (way.link, way.gateway, way.source) == (bridge, ip_address("10.1.0.9"), ip_address("10.1.0.1"))


@pytest.mark.parametrize("kind", ["unreachable", "blackhole", "prohibit"])
def test_there_is_no_way_to_where_a_route_refuses(host: Space, kind: str) -> None:
    host.run("ip", "route", "add", kind, str(NET))
    assert host.network.route_to(ip_address("10.9.0.77")) is None


@pytest.mark.parametrize("text", ["192.0.2.1", "2001:db8::1"])
def test_there_is_no_way_to_an_address_without_a_route(host: Space, text: str) -> None:
    assert host.network.route_to(ip_address(text)) is None


@pytest.mark.parametrize("text", ["10.42.3.0", "fd42:3::"])
def test_a_neighbour_is_permanent_replaceable_and_deletable(host: Space, vxlan: int, text: str) -> None:
    address = ip_address(text)
    host.network.apply(AddNeighbour(vxlan, address, "02:00:00:00:00:01"), AddNeighbour(vxlan, address, MAC))
    assert Neighbour(vxlan, address, MAC, permanent=True) in host.network.neighbours(vxlan)
    host.network.apply(DeleteNeighbour(vxlan, address))
    assert address not in {each.address for each in host.network.neighbours(vxlan)}


def test_a_forwarding_entry_is_permanent_replaceable_and_deletable(host: Space, vxlan: int) -> None:
    first, second = ip_address("192.0.2.1"), ip_address("192.0.2.2")
    host.network.apply(AddFdb(vxlan, MAC, first), AddFdb(vxlan, MAC, second))
    assert host.network.fdb(vxlan) == (FdbEntry(vxlan, MAC, second, permanent=True),)
    host.network.apply(DeleteFdb(vxlan, MAC, second))
    assert host.network.fdb(vxlan) == ()


def test_an_ipv6_tunnel_forwards_to_ipv6_addresses(host: Space, bridge: int) -> None:
    host.network.apply(AddVxlan("flannel-v6.1", 1, bridge, ip_address("fd01::1")))
    index = host.index("flannel-v6.1")
    host.network.apply(AddFdb(index, MAC, ip_address("2001:db8::1")))
    assert [each.dst for each in host.network.fdb(index)] == [ip_address("2001:db8::1")]


def test_neighbours_and_forwarding_entries_are_read_by_link(host: Space, bridge: int, vxlan: int) -> None:
    host.network.apply(AddNeighbour(bridge, ip_address("10.1.0.7"), MAC), AddFdb(vxlan, MAC, ip_address("192.0.2.1")))
    assert {each.link for each in host.network.neighbours(bridge)} == {bridge}
    assert {each.link for each in host.network.fdb(vxlan)} == {vxlan}


def test_addresses_are_read_by_link(host: Space, bridge: int) -> None:
    assert {each.link for each in host.network.addresses(bridge)} == {bridge}
    assert {each.link for each in host.network.addresses()} > {bridge}


def test_nothing_is_read_of_a_link_that_is_gone(host: Space) -> None:
    network = host.network
    read = [network.addresses(999), network.neighbours(999), network.fdb(999), network.routes(link=999)]
    assert read == [(), (), (), ()]


@pytest.mark.parametrize("name", ["absent", "", "a/b", "x" * 16, 999, 0, 2**40])
def test_a_link_that_cannot_be_is_none(host: Space, name: str | int) -> None:
    assert host.network.link(name) is None


REFUSED: dict[str, tuple[Request, int, str]] = {
    "link": (DeleteLink("absent"), errno.ENODEV, "deleting absent"),
    "index": (DeleteLink(999), errno.ENODEV, "deleting link 999"),
    "change": (SetLink("absent", alias="x"), errno.ENODEV, "setting alias x on absent"),
    "address": (DeleteAddress(1, ip_interface("10.9.0.5/24")), errno.EADDRNOTAVAIL, "deleting address 10.9.0.5/24"),
    "address6": (DeleteAddress(1, ip_interface("fd09::5/64")), errno.EADDRNOTAVAIL, "deleting address fd09::5/64"),
    "route": (DeleteRoute(NET), errno.ESRCH, "deleting route 10.9.0.0/24"),
    "route6": (DeleteRoute(NET6), errno.ESRCH, "deleting route fd09::/64"),
    "neighbour": (DeleteNeighbour(1, ip_address("10.9.0.5")), errno.ENOENT, "deleting neighbour 10.9.0.5"),
    "fdb": (DeleteFdb(3, MAC, ip_address("192.0.2.1")), errno.ENOENT, f"deleting forwarding entry {MAC}"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_deleting_what_is_absent_is_refused_as_gone(host: Space, vxlan: int, case: str) -> None:
    request, number, words = REFUSED[case]
    assert vxlan == 3
    with pytest.raises(KernelError, match=words) as refused:
        host.network.apply(request)
    assert (refused.value.errno, refused.value.gone, refused.value.exists) == (number, True, False)


def test_creating_what_exists_is_refused_as_existing(host: Space, bridge: int) -> None:
    with pytest.raises(KernelError, match=r"creating bridge br0 in .*: File exists") as refused:
        host.network.apply(AddBridge("br0"))
    assert (refused.value.exists, refused.value.gone) == (True, False)


def test_the_kernels_own_sentence_reaches_the_error(host: Space, bridge: int) -> None:
    with pytest.raises(KernelError, match=r"via 192.0.2.1 .*: Nexthop has invalid gateway \(Network is unreachable\)"):
        host.network.apply(AddRoute(NET, ip_address("192.0.2.1"), bridge))


MALFORMED: dict[str, Request] = {
    "empty name": AddBridge(""),
    "long name": AddBridge("x" * 16),
    "long in bytes": AddBridge("ä" * 8),
    "slash": AddBridge("a/b"),
    "dots": AddBridge(".."),
    "blank": AddVeth("a b", "c", None),
    "newline": AddBridge("a\n"),
    "peer": AddVeth("a", "b:c", None),
    "mac": AddVeth("a", "b", None, peer_mac="02:00"),
    "mac text": SetLink("lo", mac="zz:zz:zz:zz:zz:zz"),
    "alias": SetLink("lo", alias="x" * 256),
    "mtu": SetLink("lo", mtu=-1),
    "index": SetLink(2**40, up=True),
    "family": AddRoute(NET, IPv6Address("fd01::1")),
    "zone": AddNeighbour(1, IPv6Address("fe80::1%eth0"), MAC),
    "port": AddVxlan("v", 1, 1, ip_address("10.1.0.1"), port=70000),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_request_is_refused_before_the_kernel(host: Space, case: str) -> None:
    before = host.network.links()
    with pytest.raises(KernelError) as refused:
        host.network.apply(AddBridge("innocent"), MALFORMED[case])
    assert refused.value.errno == errno.EINVAL
    assert type(refused.value) is KernelError
    assert host.network.links() == before


def test_an_attempt_gives_each_request_its_own_answer(host: Space, bridge: int) -> None:
    wanted: list[Request] = [
        AddBridge("br1"),
        AddBridge("br0"),
        AddBridge("a/b"),
        DeleteLink("absent"),
        AddBridge("br2"),
    ]
    errors = host.network.attempt(wanted)
    assert [error and error.errno for error in errors] == [None, errno.EEXIST, errno.EINVAL, errno.ENODEV, None]
    assert {"br1", "br2"} <= {link.name for link in host.network.links()}


def test_a_request_of_two_messages_gives_one_answer(host: Space, bridge: int) -> None:
    joining = SetLink("absent", master=bridge, hairpin=True)
    errors = host.network.attempt([joining, AddBridge("br1")])
    assert [error and error.what for error in errors] == ["setting master 2, hairpin on on absent" + _in(host), None]


def _in(space: Space) -> str:
    return f' in "{space.namespace.path}"'


def test_an_attempt_at_nothing_is_nothing(host: Space) -> None:
    host.network.apply()
    assert host.network.attempt([]) == []


def test_a_batch_larger_than_one_send_is_carried_out_whole(host: Space, vxlan: int) -> None:
    routes = [AddRoute(ip_network((0x0A640000 + (n << 8), 24)), link=vxlan) for n in range(1000)]
    errors = host.network.attempt([*routes, routes[0], routes[999]])
    assert [position for position, error in enumerate(errors) if error] == [1000, 1001]
    assert len(host.network.routes(link=vxlan, family=socket.AF_INET)) == 1000


def test_every_refusal_of_a_large_batch_arrives(host: Space) -> None:
    errors = host.network.attempt([DeleteLink(f"x{n}") for n in range(3000)])
    assert [error.what.split()[1] for error in errors if error] == [f"x{n}" for n in range(3000)]


class OvertakenTransport(Transport):
    """The real transport, whose first dumps are declared overtaken by changes."""

    def __init__(self, space: Space, times: int) -> None:
        super().__init__(space.namespace)
        self.times = times
        self.dumps = 0

    def dump(self, message: bytearray) -> Dump:
        self.dumps += 1
        return replace(super().dump(message), consistent=self.dumps > self.times)


@pytest.mark.parametrize(("overtaken", "dumps"), [(0, 1), (2, 3), (99, 5)])
def test_a_dump_overtaken_by_changes_is_repeated(host: Space, overtaken: int, dumps: int) -> None:
    host.network.close()
    transport = OvertakenTransport(host, overtaken)
    host.network._opened = transport
    assert [link.name for link in host.network.links()] == ["lo"]
    assert transport.dumps == dumps


class ShortOfMemory(Transport):
    """The real transport, whose socket is told once that the kernel was out of memory, and then has all that was waiting."""

    failures = 1

    def _answers(self, first: int, last: int) -> Iterator[Message]:
        for answer in super()._answers(first, last):
            yield answer
            if self.failures:
                self.failures -= 1
                raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))


def test_a_dump_that_broke_off_is_asked_for_again(host: Space, vxlan: int) -> None:
    host.network.attempt([AddRoute(ip_network((0x0A640000 + (n << 8), 24)), link=vxlan) for n in range(3000)])
    host.network.close()
    host.network._opened = ShortOfMemory(host.namespace)
    assert len(host.network.routes(link=vxlan, family=socket.AF_INET)) == 3000
    assert len(host.network.routes(link=vxlan, family=socket.AF_INET)) == 3000


def test_a_question_that_broke_off_is_asked_again(host: Space) -> None:
    host.network.close()
    host.network._opened = ShortOfMemory(host.namespace)
    assert host.network.link("lo") is not None


def test_a_kernel_that_stays_short_of_memory_is_an_error(host: Space) -> None:
    host.network.close()
    host.network._opened = short = ShortOfMemory(host.namespace)
    short.failures = 10_000
    with pytest.raises(KernelError, match=r"reading links .*: No buffer space available"):
        host.network.links()


def test_a_network_opened_elsewhere_leaves_the_process_where_it_is(make_space: Callable[[str], Space]) -> None:
    with netns.current() as before:
        space = make_space("elsewhere")
        with Handle(space.namespace) as network:
            network.apply(AddBridge("br0"))
            with netns.current() as after, Handle() as here:
                assert after.identity == before.identity != space.namespace.identity
                assert here.link("br0") is None
        assert space.index("br0") == 2


def test_a_network_outlives_the_descriptor_of_its_namespace(host: Space) -> None:
    with netns.open_path(host.path) as again:
        network = Handle(again)
    with network:
        network.apply(AddBridge("br0"))
    assert host.index("br0") == 2


def test_a_lazy_network_opens_with_its_first_use(host: Space) -> None:
    with Handle(host.namespace, lazy=True) as network:
        assert network.sent == 0
        network.set_parameters([Parameter("net/ipv4/conf/lo/forwarding", "0")])
        network.apply(AddBridge("br0"))
        assert network.link("br0") is not None
    assert sysctl.read("net/ipv4/conf/lo/forwarding", host.namespace) == "0"
    Handle(host.namespace, lazy=True).close()


def test_links_are_read_in_the_send_that_makes_them(host: Space) -> None:
    before = host.network.sent
    made, absent, lo = host.network.look("br0", "gone0", 1, after=[AddBridge("br0"), SetLink("br0", alias="x")])
    assert (made and made.alias, absent, lo and lo.name) == ("x", None, "lo")
    assert host.network.sent == before + 5


def test_nothing_is_read_after_a_refusal(host: Space, bridge: int) -> None:
    with pytest.raises(KernelError, match="creating bridge br0") as refused:
        host.network.look(bridge, after=[AddBridge("br0"), SetLink(bridge, alias="carried out all the same")])
    assert refused.value.exists
    (link,) = host.network.look(bridge)
    assert link == host.network.link(bridge)
    assert link is not None
    assert link.alias == "carried out all the same"


def test_a_look_at_what_cannot_be_is_refused_before_the_kernel(host: Space) -> None:
    with pytest.raises(KernelError, match="reading link a/b") as refused:
        host.network.look("a/b", after=[AddBridge("br0")])
    assert (refused.value.errno, host.network.link("br0")) == (errno.EINVAL, None)


def test_a_closed_network_refuses_with_a_kernel_error(host: Space) -> None:
    network = Handle(host.namespace)
    network.close()
    network.close()
    with pytest.raises(KernelError, match="reading links"):
        network.links()


def test_a_name_of_the_longest_kind_works(host: Space) -> None:
    host.network.apply(AddBridge("x" * 15))
    assert host.network.link("x" * 15) is not None


def test_an_alias_that_is_no_text_is_still_read(host: Space, bridge: int) -> None:
    host.run("sh", "-c", r"ip link set br0 alias $(printf 'a\377b')")
    link = host.network.link(bridge)
    assert link is not None
    assert link.alias == r"a\xffb"
