"""Claims about kernel.netlink.monitor against the real kernel.

- a change of each kind is heard, with its link; only subscribed kinds are; nothing is heard of other namespaces
- a flood that the kernel drops is heard as everything
- waiting for a link ends when it comes up, at once when it is up, in time when it never does
- waiting for duplicate address detection ends with it, and tells who failed
"""

import socket
import threading
import time
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from kernel.errors import KernelError
from kernel.netlink import monitor
from kernel.netlink.monitor import Change, Events
from kernel.netlink.requests import AddAddress, AddBridge, AddNeighbour, AddRoute, AddVeth, DeleteLink, SetLink
from tests.netns.spaces import Space, cable

SOON = 5.0
MAC = "02:00:00:00:00:07"


def test_a_change_of_each_kind_is_heard_with_its_link(host: Space) -> None:
    with Events(host.namespace) as heard:
        host.network.apply(AddBridge("br0"))
        index = host.index("br0")
        host.network.apply(AddAddress(index, ip_interface("10.1.0.1/24")))
        host.network.apply(AddNeighbour(index, ip_address("10.1.0.9"), MAC))
        host.network.apply(AddRoute(ip_network("10.9.0.0/24"), link=index))
        wanted = {Change("link", index), Change("address", index), Change("neighbour", index), Change("route", 0)}
        assert heard.read() >= wanted


def test_a_deleted_link_is_heard(host: Space) -> None:
    host.network.apply(AddBridge("br0"))
    index = host.index("br0")
    with Events(host.namespace, ["link"]) as heard:
        host.network.apply(DeleteLink("br0"))
        assert heard.wait(SOON) == {Change("link", index)}


def test_only_subscribed_kinds_are_heard(host: Space) -> None:
    with Events(host.namespace, ["address"]) as heard:
        host.network.apply(AddBridge("br0", up=False))
        host.network.apply(AddAddress(host.index("br0"), ip_interface("10.1.0.1/24")))
        assert heard.read() == {Change("address", host.index("br0"))}


def test_other_namespaces_are_not_heard(host: Space, container: Space) -> None:
    with Events(host.namespace) as heard:
        container.network.apply(AddBridge("br0"))
        assert heard.read() == frozenset()


def test_nothing_is_heard_when_nothing_happens(host: Space) -> None:
    with Events(host.namespace, ["link"]) as heard:
        assert heard.wait(0.01) == frozenset()


def test_a_dropped_flood_is_heard_as_everything(host: Space) -> None:
    host.network.apply(AddBridge("br0"))
    with Events(host.namespace, ["link", "route"]) as heard:
        heard._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(50):
            host.network.apply(SetLink("br0", up=False), SetLink("br0", up=True))
        assert {Change("link"), Change("route")} <= heard.read()
        host.network.apply(SetLink("br0", mtu=1400))
        assert heard.read() == {Change("link", host.index("br0"))}


def test_a_link_that_is_up_is_not_waited_for(host: Space, container: Space) -> None:
    cable(host, "a", container, "b")
    started = time.monotonic()
    assert monitor.wait_for_link_up(host.network, host.index("a"), SOON).running
    assert time.monotonic() - started < SOON


def test_waiting_ends_when_the_link_comes_up(host: Space, container: Space) -> None:
    host.network.apply(AddVeth("a", "b", container.namespace))
    raising = threading.Timer(0.05, lambda: container.network.apply(SetLink("b", up=True)))
    raising.start()
    link = monitor.wait_for_link_up(host.network, host.index("a"), SOON)
    raising.join()
    assert link.running


def test_a_link_that_never_comes_up_is_returned_as_it_is(host: Space, container: Space) -> None:
    host.network.apply(AddVeth("a", "b", container.namespace))
    link = monitor.wait_for_link_up(host.network, host.index("a"), 0.05)
    assert (link.up, link.running) == (True, False)


def test_waiting_for_no_link_is_refused_as_gone(host: Space) -> None:
    with pytest.raises(KernelError, match="waiting for link 999") as refused:
        monitor.wait_for_link_up(host.network, 999, SOON)
    assert refused.value.gone


def test_waiting_for_dad_ends_with_usable_addresses(host: Space, container: Space) -> None:
    cable(host, "a", container, "b")
    index = container.index("b")
    container.network.apply(AddAddress(index, ip_interface("fd01::2/64")))
    assert monitor.wait_for_dad(container.network, index, SOON) == ()
    assert not any(each.tentative for each in container.network.addresses(index))


def test_waiting_for_dad_tells_who_failed(host: Space, container: Space) -> None:
    cable(host, "a=fd01::2/64", container, "b")
    index = container.index("b")
    assert monitor.wait_for_dad(host.network, host.index("a"), SOON) == ()
    container.network.apply(AddAddress(index, ip_interface("fd01::2/64")))
    failed = [each for each in monitor.wait_for_dad(container.network, index, SOON) if each.dadfailed]
    assert [each.address for each in failed] == [ip_interface("fd01::2/64")]


def test_dad_without_a_carrier_is_still_open_when_time_is_up(host: Space) -> None:
    host.network.apply(AddVeth("a", "b", None))
    index = host.index("a")
    host.network.apply(AddAddress(index, ip_interface("fd01::2/64")))
    left = monitor.wait_for_dad(host.network, index, 0.05)
    assert [(each.tentative, each.dadfailed) for each in left] == [(True, False)]
