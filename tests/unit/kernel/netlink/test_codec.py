"""Claims: what is written by hand is, byte for byte, what pyroute2's classes write, for requests of every kind and any values;
so is every question; a malformed request is a KernelError with the request in words.
"""

import errno
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import KernelError
from kernel.netlink import address as addresses
from kernel.netlink import codec, requests, route
from kernel.netlink.requests import Request
from kernel.netns import Namespace
from system.ip import IPInterface
from tests.unit.kernel import pyroute2_encoding as theirs

MAC = "02:00:00:00:00:07"
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789.-_äß", min_size=1, max_size=7).filter(
    lambda text: text not in {".", ".."}
)
INDEXES = st.integers(1, 2**31 - 1)
NUMBERS = st.integers(0, 2**32 - 1)
MACS = st.binary(min_size=6, max_size=6).map(lambda octets: octets.hex(":"))
MAYBE_MACS = MACS | st.just("")
WISHES = st.none() | st.booleans()
LINKS = INDEXES | NAMES
ADDRESSES = st.ip_addresses()
VIDS = st.integers(1, 4094)


@st.composite
def interfaces(draw: st.DrawFn) -> IPInterface:
    address = draw(ADDRESSES)
    return ip_interface(f"{address}/{draw(st.integers(0, address.max_prefixlen))}")


SPACES = st.none() | st.builds(lambda path: Namespace(0, path), NAMES)
VLANS = st.builds(requests.Vlan, VIDS, pvid=st.booleans(), untagged=st.booleans())
KINDS: dict[type, st.SearchStrategy[Request]] = {
    requests.AddBridge: st.builds(requests.AddBridge, NAMES, NUMBERS, MAYBE_MACS, st.booleans(), st.booleans()),
    requests.AddVeth: st.builds(requests.AddVeth, NAMES, NAMES, SPACES, NUMBERS, MAYBE_MACS, NUMBERS, st.booleans()),
    requests.AddVxlan: st.builds(
        requests.AddVxlan, NAMES, NUMBERS, NUMBERS, ADDRESSES, st.integers(0, 65535), NUMBERS, MAYBE_MACS, st.booleans()
    ),
    requests.AddWireguard: st.builds(requests.AddWireguard, NAMES),
    requests.AddIfb: st.builds(requests.AddIfb, NAMES, NUMBERS),
    requests.SetLink: st.builds(
        requests.SetLink,
        LINKS,
        up=WISHES,
        mtu=NUMBERS,
        mac=MAYBE_MACS,
        alias=st.none() | NAMES,
        master=st.none() | NUMBERS,
        hairpin=WISHES,
        isolated=WISHES,
        promiscuous=WISHES,
        vlan_filtering=WISHES,
        all_multicast=WISHES,
        queue=st.none() | NUMBERS,
    ),
    requests.DeleteLink: st.builds(requests.DeleteLink, LINKS),
    requests.AddVlans: st.builds(requests.AddVlans, INDEXES, st.lists(VLANS, min_size=1, max_size=5).map(tuple)),
    requests.DeleteVlans: st.builds(requests.DeleteVlans, INDEXES, st.lists(VIDS, min_size=1, max_size=5).map(tuple)),
    requests.AddAddress: st.builds(
        requests.AddAddress, INDEXES, interfaces(), st.booleans(), st.booleans(), st.integers(0, 255)
    ),
    requests.DeleteAddress: st.builds(requests.DeleteAddress, INDEXES, interfaces()),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_request_is_written_as_pyroute2_writes_it(kind: type, data: st.DataObject) -> None:
    request = data.draw(KINDS[kind])
    assert codec.encode(request) == theirs.encode(request)


def test_every_kind_of_request_can_be_written() -> None:
    assert set(codec.WRITERS) == set(get_args(Request))
    assert set(theirs.ENCODERS) == set(KINDS)


@given(
    link=NUMBERS, table=NUMBERS, address=ADDRESSES, family=st.sampled_from([2, 10]), version=st.sampled_from([0, 4, 6])
)
def test_a_question_is_put_as_pyroute2_puts_it(
    link: int, table: int, address: IPv4Address | IPv6Address, family: int, version: int
) -> None:
    assert addresses.dump(link, version) == theirs.dump_addresses(link, {0: 0, 4: 2, 6: 10}[version])
    assert route.dump_routes(family, table, link) == theirs.dump_routes(family, table, link)
    assert route.get_route(address) == theirs.get_route(address)
    assert route.dump_neighbours(link) == theirs.dump_neighbours(link)
    assert route.dump_fdb(link >> 1) == theirs.dump_fdb(link >> 1)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (requests.AddBridge("a/b"), "is no link name"),
        (requests.AddBridge("cni0", mac="02:00"), "is no MAC address"),
        (requests.AddVeth("v0", "eth0", None, mtu=-1), "does not fit"),
        (requests.SetLink("v0", alias="x" * 256), "is no link alias"),
        (requests.SetLink("v0", alias="\0"), "is no link alias"),
        (requests.SetLink(2**40, up=True), "does not fit"),
        (requests.DeleteLink(2**40), "does not fit"),
        (requests.AddVlans(3, (requests.Vlan(0),)), "is no VLAN"),
        (requests.DeleteVlans(3, (4095,)), "is no VLAN"),
        (requests.AddAddress(2**40, ip_interface("10.0.0.1/8")), "does not fit"),
        (requests.AddRoute(ip_network("10.0.0.0/8"), priority=-1), "does not fit"),
        (requests.AddNeighbour(3, ip_address("10.0.0.1"), "02:00"), "is no MAC address"),
        (requests.AddFdb(2**40, MAC, ip_address("10.0.0.1")), "does not fit"),
    ],
)
def test_a_malformed_request_is_refused_in_words(request_: Request, reason: str) -> None:
    with pytest.raises(KernelError, match=reason) as refused:
        codec.encode(request_)
    assert refused.value.errno == errno.EINVAL
    assert request_.what() in str(refused.value)
