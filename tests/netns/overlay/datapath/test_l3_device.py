"""Claims: a forwarder is started once and then only told what changed, by the same process; a new port takes a new one; it ends
when told to by its owner or with its device, and leaves no socket; another daemon's is left alone; one from before the socket was a
file gives way to a new one; a lost destination is answered; a port that is
taken is reported.
"""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Network

import pytest

from kernel import netns
from kernel.errors import KernelError
from kernel.netlink.requests import AddAddress, DeleteLink
from overlay.backends import Desired, L3Device, UdpForwarding
from overlay.datapath import apply, l3_device
from overlay.datapath.l3_device import L3Devices
from overlay.errors import Unavailable
from overlay.forwarder import control
from tests.lab import waiting
from tests.netns.spaces import Space

IP_RECVERR = 11  # linux/in.h: also hear of errors that are not fatal
OWNER = "/run/flannel/subnet.env"
CARRIER = UdpForwarding(
    IPv4Address("127.0.0.1"),
    8285,
    IPv4Address("10.42.0.0"),
    IPv4Network("10.42.1.0/24"),
    frozenset({(IPv4Network("10.42.2.0/24"), IPv4Address("192.0.2.2"))}),
)
PIPE = L3Device("flannel0", 1472, (IPv4Interface("10.42.1.0/32"),), (IPv4Network("10.42.0.0/16"),), CARRIER)


@pytest.fixture
def place(host: Space) -> Iterator[Space]:
    with netns.inside(host.namespace):
        yield host
        l3_device.stop_forwarder("flannel0", OWNER)
        assert control.ask("flannel0") is None


def other(**changes: object) -> L3Device:
    return replace(PIPE, carrier=replace(CARRIER, **changes))  # type: ignore[arg-type]


def test_a_forwarder_is_started_once(place: Space) -> None:
    assert L3Devices(OWNER).ensure(place.network, PIPE) == (
        "starting the forwarder of flannel0 on 127.0.0.1 port 8285",
    )
    assert L3Devices(OWNER).ensure(place.network, PIPE) == ()
    assert place.network.link("flannel0")


def test_changed_routes_are_told_to_the_same_process(place: Space) -> None:
    L3Devices(OWNER).ensure(place.network, PIPE)
    index = place.index("flannel0")
    assert L3Devices(OWNER).ensure(place.network, other(routes=frozenset())) == (
        "telling the forwarder of flannel0 about 0 peers",
    )
    assert place.index("flannel0") == index


def test_a_changed_port_takes_another_process(place: Space) -> None:
    L3Devices(OWNER).ensure(place.network, PIPE)
    assert L3Devices(OWNER).ensure(place.network, other(port=8286)) == (
        "starting the forwarder of flannel0 on 127.0.0.1 port 8286",
    )
    state = control.ask("flannel0")
    assert state is not None
    assert state.port == 8286


def test_another_daemons_forwarder_is_left_alone(place: Space) -> None:
    L3Devices(OWNER).ensure(place.network, PIPE)
    with pytest.raises(Unavailable, match=f"the daemon with the lease file {OWNER}"):
        L3Devices("/elsewhere/subnet.env").ensure(place.network, PIPE)
    assert not l3_device.stop_forwarder("flannel0", "/elsewhere/subnet.env")


def test_a_deleted_device_ends_its_forwarder(place: Space) -> None:
    L3Devices(OWNER).ensure(place.network, PIPE)
    place.network.apply(DeleteLink("flannel0"))
    waiting.until(lambda: not control.path("flannel0").exists(), "forwarder ended")
    assert control.ask("flannel0") is None


def test_a_stopped_forwarder_leaves_no_socket(place: Space) -> None:
    L3Devices(OWNER).ensure(place.network, PIPE)
    assert control.path("flannel0").is_socket()
    assert l3_device.stop_forwarder("flannel0", OWNER)
    assert not control.path("flannel0").exists()


def test_who_allowed_senders_are_is_told_to_the_same_process(place: Space) -> None:
    L3Devices(OWNER).ensure(place.network, PIPE)
    allowed = (IPv4Network("198.51.100.0/24"), IPv6Network("2001:db8::/64"))
    L3Devices(OWNER, allowed=allowed).ensure(place.network, PIPE)
    state = control.ask("flannel0")
    assert state is not None
    assert state.allowed == allowed[:1]


OLD = """
import json, socket, sys
door = socket.socket(socket.AF_UNIX)
door.bind("\\0tulle-forwarder/flannel0")
door.listen()
print("listens", flush=True)
while True:
    line, _ = door.accept()
    order = line.recv(65536)
    line.sendall(json.dumps({"device": "flannel0", "owner": sys.argv[1], "bind": "127.0.0.1", "port": 8285, "routes": []}).encode())
    if order == b"stop":
        break
    line.close()
"""


@contextlib.contextmanager
def before_the_file(owner: str) -> Iterator["subprocess.Popen[str]"]:
    old = subprocess.Popen([sys.executable, "-IS", "-c", OLD, owner], stdout=subprocess.PIPE, text=True)
    with old:
        assert old.stdout is not None
        old.stdout.readline()
        try:
            yield old
        finally:
            old.kill()


def test_a_forwarder_from_before_gives_way_to_a_new_one(place: Space) -> None:
    with before_the_file(OWNER) as old:
        said = L3Devices(OWNER).ensure(place.network, PIPE)
        assert said == ("starting the forwarder of flannel0 on 127.0.0.1 port 8285",)
        assert old.wait(10) == 0


def test_anothers_forwarder_from_before_is_left_alone(place: Space) -> None:
    with before_the_file("/elsewhere") as old:
        with pytest.raises(Unavailable, match="the daemon with the lease file /elsewhere"):
            L3Devices(OWNER).ensure(place.network, PIPE)
        assert not l3_device.stop_forwarder("flannel0", OWNER)
        assert old.poll() is None


def test_a_port_that_is_taken_is_reported(place: Space) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 8285))
        with pytest.raises(KernelError, match=r"starting the forwarder of flannel0: .*Address already in use"):
            L3Devices(OWNER).ensure(place.network, PIPE)


def test_a_destination_nobody_has_is_answered(place: Space) -> None:
    report = apply.full_sync(place.network, Desired(pipes=(PIPE,)), L3Devices(OWNER))
    assert (report.failed, report.mtu) == ((), 1472)
    assert apply.full_sync(place.network, Desired(pipes=(PIPE,)), L3Devices(OWNER)).changed == ()
    place.network.apply(AddAddress(place.index("lo"), IPv4Interface("10.42.1.1/32")))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lost:
        lost.settimeout(5)
        lost.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        lost.connect(("10.42.77.1", 9))
        lost.send(b"anybody?")
        with pytest.raises(OSError, match="unreachable"):
            lost.recv(1)
