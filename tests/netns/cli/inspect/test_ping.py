"""Claims about asking other hosts, over IPv4 and IPv6:

- an echo and TCP's refusal are answers, silence is none, a packet is never cut in two
- an echo from another address of this host's is answered there, and counts
"""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_interface

import pytest

from cli.inspect import ping
from cli.inspect.ping import EchoRequest
from kernel import netns
from kernel.netlink.requests import AddAddress, SetLink
from system.ip import IPAddress
from tests.lab import waiting
from tests.netns.spaces import Space, cable

HERE, THERE, NOBODY = (IPv4Address(f"192.0.2.{number}") for number in (1, 2, 3))
HERE6, THERE6, NOBODY6 = (IPv6Address(f"2001:db8::{number}") for number in (1, 2, 3))
ENDS = [(THERE, NOBODY), (THERE6, NOBODY6)]
both = pytest.mark.parametrize(("there", "nobody"), ENDS, ids=["IPv4", "IPv6"])
SHORT = 0.4
"""Seconds that are enough between two namespaces."""


@pytest.fixture
def near(make_space: Callable[[str], Space]) -> Space:
    one, two = make_space("one"), make_space("two")
    cable(one, f"eth0={HERE}/24", two, f"eth0={THERE}/24")
    for space, address in ((one, HERE6), (two, THERE6)):
        space.network.apply(AddAddress(space.index("eth0"), ip_interface(f"{address}/64"), nodad=True))
    two.network.apply(SetLink("eth0", mtu=1400))
    with netns.inside(one.namespace):
        waiting.until(lambda: ping.echo([EchoRequest(THERE6)], SHORT), "IPv6 is up")
    return one


@both
def test_who_is_there_answers_an_echo_and_who_is_not_is_silent(
    near: Space, there: IPAddress, nobody: IPAddress
) -> None:
    with netns.inside(near.namespace):
        heard = ping.echo([EchoRequest(there), EchoRequest(nobody)], SHORT)
    assert list(heard) == [EchoRequest(there)]
    assert 0 < heard[EchoRequest(there)] < SHORT


@both
def test_a_packet_that_does_not_fit_is_lost_not_cut_and_one_that_just_fits_arrives(
    near: Space, there: IPAddress, nobody: IPAddress
) -> None:
    with netns.inside(near.namespace):
        assert list(
            ping.echo([EchoRequest(there, 1501), EchoRequest(there, 1400), EchoRequest(nobody, 1400)], SHORT)
        ) == [EchoRequest(there, 1400)]


SOURCES = {THERE: IPv4Address("192.0.2.77"), THERE6: IPv6Address("2001:db8::77")}


@pytest.mark.parametrize(("there", "source"), SOURCES.items(), ids=["IPv4", "IPv6"])
def test_an_echo_from_another_address_of_ours_counts(near: Space, there: IPAddress, source: IPAddress) -> None:
    near.run("ip", "address", "add", str(source), "dev", "eth0", "nodad")
    asked = EchoRequest(there, source=source, device="eth0", mark=0x4000)
    with netns.inside(near.namespace):
        assert list(ping.echo([asked, EchoRequest(there, source=source, device="none")], SHORT)) == [asked]


@both
def test_a_refused_connection_is_an_answer(near: Space, there: IPAddress, nobody: IPAddress) -> None:
    with netns.inside(near.namespace):
        assert ping.tcp({there, nobody}, SHORT) == {there}


def test_nobody_asked_is_nobody_waited_for(near: Space) -> None:
    with netns.inside(near.namespace):
        assert (ping.echo([]), ping.tcp(())) == ({}, frozenset())


@both
def test_a_port_nobody_listens_on_is_told_apart_from_a_host_that_is_away(
    near: Space, there: IPAddress, nobody: IPAddress
) -> None:
    with netns.inside(near.namespace):
        assert ping.refusing({there, nobody}, 8472, SHORT) == {there}
