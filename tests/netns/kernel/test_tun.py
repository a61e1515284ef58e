"""Claims: a TUN device is there while its descriptor is open, carries bare packets, and a second opening is refused."""

import errno
import os
import socket
from ipaddress import IPv4Interface

import pytest

from kernel import netns, tun
from kernel.errors import KernelError
from kernel.netlink.requests import AddAddress, SetLink
from tests.lab import waiting
from tests.netns.spaces import Space


def test_a_device_carries_bare_packets_and_ends_with_its_descriptor(host: Space) -> None:
    with netns.inside(host.namespace):
        descriptor = tun.open_tun("tun7")
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender:
        host.network.apply(AddAddress(host.index("tun7"), IPv4Interface("10.9.0.1/24")), SetLink("tun7", up=True))
        sender.sendto(b"hello", ("10.9.0.2", 9))
        waiting.until(lambda: _udp(descriptor).endswith(b"hello"), "the packet arrives bare")
    os.close(descriptor)
    waiting.until(lambda: host.network.link("tun7") is None, "the device ends", namespace=host.namespace)


def _udp(descriptor: int) -> bytes:
    """Read one packet; only an IPv4 one of UDP counts."""
    try:
        packet = os.read(descriptor, 2048)
    except BlockingIOError:
        return b""
    return packet if packet[0] == 0x45 and packet[9] == 17 else b""


def test_a_second_opening_is_refused(host: Space) -> None:
    with netns.inside(host.namespace):
        descriptor = tun.open_tun("tun7")
        with pytest.raises(KernelError, match="creating TUN device tun7") as refused:
            tun.open_tun("tun7")
    os.close(descriptor)
    assert refused.value.errno == errno.EBUSY
