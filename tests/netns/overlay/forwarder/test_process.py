"""Claims: what leaves is the bare IPv4 packet as UDP payload with one hop less, and so is what arrives; rubbish from the wire
changes nothing; a wrong order leaves the state as it was.
"""

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from kernel import namespaces
from overlay import carriers, reconcile
from overlay.backends import Desired, Forwarding, Pipe
from overlay.carriers import Carriers
from overlay.forwarder import control
from tests.netns.spaces import Space

OWNER = "/run/flannel/subnet.env"
HERE, PEER, PORT = IPv4Address("127.0.0.1"), IPv4Address("127.0.0.2"), 8285
ROUTES = frozenset({(IPv4Network("10.42.2.0/24"), PEER)})
BASE, INSIDE = "10.42.1.0", ("10.42.2.9", 4242)
PIPE = Pipe(
    "flannel0",
    1472,
    (IPv4Interface(f"{BASE}/32"),),
    (IPv4Network("10.42.0.0/16"),),
    Forwarding(HERE, PORT, IPv4Address("10.42.0.0"), ROUTES),
)


@pytest.fixture
def ends(host: Space) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A socket of the peer's outside, and one of this host's inside the network."""
    with namespaces.inside(host.namespace):
        assert reconcile.converge(host.network, Desired(pipes=(PIPE,)), Carriers(OWNER)).failed == ()
        outside, inside = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        with outside, inside:
            outside.bind((str(PEER), PORT))
            inside.bind((BASE, 4242))
            for end in (outside, inside):
                end.settimeout(5)
            yield outside, inside
        carriers.retire("flannel0", OWNER)


def test_bare_packets_with_one_hop_less_go_both_ways(ends: tuple[socket.socket, socket.socket]) -> None:
    outside, inside = ends
    inside.sendto(b"hello", INSIDE)
    packet = bytearray(outside.recv(2048))
    assert (packet[0], packet[8], len(packet), bytes(packet[-5:])) == (0x45, 63, 33, b"hello")
    packet[12:16], packet[16:20] = packet[16:20], packet[12:16]  # exchanged ends keep both checksums right
    outside.sendto(packet, (str(HERE), PORT))
    assert inside.recvfrom(2048) == (b"hello", INSIDE)


def test_rubbish_from_the_wire_changes_nothing(ends: tuple[socket.socket, socket.socket]) -> None:
    outside, inside = ends
    for rubbish in (b"", b"\x45", bytes(20), b"\x45" + bytes(19), b"\x60" + bytes(60), b"\xff" * 1400):
        outside.sendto(rubbish, (str(HERE), PORT))
    inside.sendto(b"still here", INSIDE)
    assert outside.recv(2048).endswith(b"still here")


def test_a_wrong_order_leaves_the_state_as_it_was(ends: tuple[socket.socket, socket.socket]) -> None:
    before = control.ask("flannel0")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.connect(control.name("flannel0"))
        line.sendall(b'{"device": 5}')
        line.shutdown(socket.SHUT_WR)
        assert line.recv(1) == b""
    assert control.ask("flannel0") == before
