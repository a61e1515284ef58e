"""Claims: what leaves is the bare IPv4 packet as UDP payload with one hop less, and so is what arrives; rubbish from the wire
changes nothing; what comes from a stranger, in another's name or for another place does not come in; a wrong order leaves the state
as it was; nobody without the right to change the network is listened to, by either name, nor a root of another user namespace; a
process that has the abstract name of before is no obstacle.
"""

import socket
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from kernel import netns
from overlay.backends import Desired, L3Device, UdpForwarding
from overlay.datapath import apply, l3_device
from overlay.datapath.l3_device import L3Devices
from overlay.forwarder import control
from tests.netns.spaces import Space

OWNER = "/run/flannel/subnet.env"
HERE, PEER, PORT = IPv4Address("127.0.0.1"), IPv4Address("127.0.0.2"), 8285
ROUTES = frozenset({(IPv4Network("10.42.2.0/24"), PEER)})
BASE, INSIDE = "10.42.1.0", ("10.42.2.9", 4242)
PIPE = L3Device(
    "flannel0",
    1472,
    (IPv4Interface(f"{BASE}/32"),),
    (IPv4Network("10.42.0.0/16"),),
    UdpForwarding(HERE, PORT, IPv4Address("10.42.0.0"), IPv4Network("10.42.1.0/24"), ROUTES),
)


@pytest.fixture
def ends(host: Space) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A socket of the peer's outside, and one of this host's inside the network."""
    with netns.inside(host.namespace):
        assert apply.full_sync(host.network, Desired(pipes=(PIPE,)), L3Devices(OWNER)).failed == ()
        outside, inside = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        with outside, inside:
            outside.bind((str(PEER), PORT))
            inside.bind((BASE, 4242))
            for end in (outside, inside):
                end.settimeout(5)
            yield outside, inside
        l3_device.stop_forwarder("flannel0", OWNER)


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


def turned(packet: bytearray, source: str = "10.42.2.9", target: str = BASE) -> bytes:
    """Give the answer to a UDP packet, without UDP checksum and with a right header's."""
    answer = bytearray(packet)
    answer[12:20] = IPv4Address(source).packed + IPv4Address(target).packed
    answer[10:12], answer[26:28] = b"\0\0", b"\0\0"
    total = sum(int.from_bytes(answer[at : at + 2], "big") for at in range(0, 20, 2))
    answer[10:12] = (~((total & 0xFFFF) + (total >> 16)) & 0xFFFF).to_bytes(2, "big")
    return bytes(answer)


def test_what_comes_from_a_stranger_or_in_anothers_name_does_not_come_in(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    outside, inside = ends
    inside.sendto(b"hello", INSIDE)
    packet = bytearray(outside.recv(2048))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.3", PORT))
        stranger.sendto(turned(packet), (str(HERE), PORT))
    outside.sendto(turned(packet, source="10.42.9.9"), (str(HERE), PORT))
    outside.sendto(turned(packet, source=BASE), (str(HERE), PORT))
    outside.sendto(turned(packet), (str(HERE), PORT))
    assert inside.recvfrom(2048) == (b"hello", INSIDE)
    inside.setblocking(False)
    with pytest.raises(BlockingIOError):
        inside.recv(2048)


def test_what_is_for_another_place_does_not_come_in(host: Space, ends: tuple[socket.socket, socket.socket]) -> None:
    outside, inside = ends
    host.run("ip", "address", "add", "203.0.113.1/32", "dev", "lo")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
        elsewhere.bind(("203.0.113.1", 4242))
        elsewhere.setblocking(False)
        inside.sendto(b"hello", INSIDE)
        packet = bytearray(outside.recv(2048))
        outside.sendto(turned(packet, target="203.0.113.1"), (str(HERE), PORT))
        outside.sendto(turned(packet), (str(HERE), PORT))
        assert inside.recvfrom(2048) == (b"hello", INSIDE)  # and so the one before it was looked at
        with pytest.raises(BlockingIOError):
            elsewhere.recv(2048)


@pytest.mark.parametrize("order", [b'{"device": 5}', b"[" * 100_000, b"\xff"])
def test_a_wrong_order_leaves_the_state_as_it_was(ends: tuple[socket.socket, socket.socket], order: bytes) -> None:
    before = control.ask("flannel0")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.connect(str(control.path("flannel0")))
        line.sendall(order)
        line.shutdown(socket.SHUT_WR)
        assert line.recv(1) == b""
    assert control.ask("flannel0") == before


ASK = """
import socket, sys
line = socket.socket(socket.AF_UNIX)
line.settimeout(5)
try:
    line.connect(sys.argv[1].replace("@", "\\0"))
    line.shutdown(socket.SHUT_WR)
    print(line.recv(65536))
except BrokenPipeError:
    print(b"")
except OSError as problem:
    print(type(problem).__name__)
"""
STRANGERS = {
    "nobody": (["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"], "PermissionError"),
    "root without capabilities": (["setpriv", "--bounding-set=-all", "--inh-caps=-all"], "b''"),
    "root of another user namespace": (["unshare", "--user", "--map-root-user"], "b''"),
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_nobody_without_the_right_to_change_the_network_is_listened_to(
    host: Space, ends: tuple[socket.socket, socket.socket], stranger: str
) -> None:
    words, answer = STRANGERS[stranger]
    assert host.run(*words, sys.executable, "-IS", "-c", ASK, str(control.path("flannel0"))) == f"{answer}\n"
    assert host.run(*words, sys.executable, "-IS", "-c", ASK, "@tulle-forwarder/flannel0") == "ConnectionRefusedError\n"
    assert control.ask("flannel0") is not None


SQUAT = 'import socket; s = socket.socket(socket.AF_UNIX); s.bind("\\0tulle-forwarder/flannel0"); s.listen(); print(flush=True); s.accept()'


def test_a_process_that_has_the_abstract_name_of_before_is_no_obstacle(host: Space) -> None:
    with netns.inside(host.namespace):
        words = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-IS", "-c", SQUAT]
        squatter = subprocess.Popen(words, stdout=subprocess.PIPE)
        with squatter:
            try:
                assert squatter.stdout is not None
                squatter.stdout.readline()
                assert L3Devices(OWNER).ensure(host.network, PIPE)
                assert control.ask("flannel0") is not None
                l3_device.stop_forwarder("flannel0", OWNER)
            finally:
                squatter.kill()
