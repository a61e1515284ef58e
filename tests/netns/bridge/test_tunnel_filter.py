"""Claims about bridge.tunnel_filter: the first ADD on a lease keeps containers out of the tunnel between hosts, where no daemon runs.

* What the record beside the lease file says is the tunnel's is dropped, before it is masqueraded and whatever sender it claims: a UDP port,
  an IP protocol, in both families, and towards the host itself; anything else passes, and other VNIs do among containers.
* Without a record flannel's devices tell the ports, or flannel's default does.
* After a flush the next ADD sets them again; a table that is there stays as it is; a record without tunnels, and a network without a lease, have none.
* What cannot be set though the record asks for it refuses the ADD and leaves nothing; unasked for it refuses nothing.
"""

import json
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from kernel import netns
from lease import tunnel
from lease.tunnel import Tunnel
from tests.netns.bridge.conftest import FOUR, SIX, Runtime, add
from tests.netns.overlay import packets
from tests.netns.spaces import Space, cable

OUTSIDE, OUTSIDE6 = "198.51.100.2", "2001:db8:9::2"
DUAL = "FLANNEL_IPV6_NETWORK=fd00:42::/48\nFLANNEL_IPV6_SUBNET=fd00:42:0:7::1/64\n"


@pytest.fixture
def outside(host: Space, make_space: Any) -> Space:
    space: Space = make_space("outside")
    cable(host, "up=198.51.100.1/24", space, "eth0=198.51.100.2/24")
    host.run("ip", "address", "add", "2001:db8:9::1/64", "dev", "up", "nodad")
    space.run("ip", "address", "add", f"{OUTSIDE6}/64", "dev", "eth0", "nodad")
    space.run("ip", "route", "add", "default", "via", "198.51.100.1")
    space.run("ip", "route", "add", "default", "via", "2001:db8:9::1")
    return space


def record(lease: str, *tunnels: Tunnel) -> None:
    Path(f"{lease}.made").write_text(json.dumps({tunnel.KEY: [tunnel.encoded(one) for one in tunnels]}))


def tables(runtime: Runtime) -> list[str]:
    return [line.split()[-1] for line in runtime.host.run("nft", "list", "tables").splitlines() if "guard" in line]


def arrives(sender: Space, place: Space, address: str, port: int, data: bytes = b"in") -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with netns.inside(place.namespace):
        ear = socket.socket(family, socket.SOCK_DGRAM)
    with ear:
        ear.bind((address, port))
        ear.settimeout(0.3)
        for _ in range(3):
            packets.send(sender, address, port, data)
            try:
                return ear.recv(100) == data
            except TimeoutError:
                continue
    return False


OF_7, OF_8 = packets.vxlan(bytes(60), 7), packets.vxlan(bytes(60), 8)
VXLAN = Tunnel("tulle-guard-7", (8472,), 7, underlay="up")


def test_what_the_record_says_is_dropped_in_both_families(
    runtime: Runtime, container: Space, outside: Space, lease: str
) -> None:
    Path(lease).write_text(Path(lease).read_text() + DUAL)
    runtime.ipam_answers(FOUR, SIX)
    record(lease, VXLAN)
    add(runtime, container, subnetFile=lease)
    for address in (OUTSIDE, OUTSIDE6):
        seen = [
            arrives(container, outside, address, port, data) for port, data in ((8472, OF_7), (8472, OF_8), (53, OF_7))
        ]
        assert seen == [False, False, True]
    for address in ("198.51.100.1", "10.42.7.1", "fd00:42:0:7::1"):
        assert [arrives(container, runtime.host, address, port, OF_7) for port in (8472, 53)] == [False, True]


def test_containers_have_other_vnis_among_themselves(
    runtime: Runtime, container: Space, outside: Space, lease: str
) -> None:
    runtime.host.run("ip", "route", "add", "10.42.9.0/24", "via", OUTSIDE)
    outside.run("ip", "address", "add", "10.42.9.9/32", "dev", "lo")
    record(lease, VXLAN)
    add(runtime, container, subnetFile=lease)
    assert [arrives(container, outside, "10.42.9.9", 8472, data) for data in (OF_7, OF_8)] == [False, True]


def test_other_hosts_packets_pass(runtime: Runtime, container: Space, outside: Space, lease: str) -> None:
    record(lease, VXLAN)
    add(runtime, container, subnetFile=lease)
    assert arrives(outside, runtime.host, "198.51.100.1", 8472, OF_7)
    assert arrives(outside, container, FOUR["address"].partition("/")[0], 8472, OF_7)


@pytest.mark.parametrize("claimed", ["10.42.7.5", "198.51.100.2", "203.0.113.9"])
def test_whatever_sender_it_claims(
    runtime: Runtime, container: Space, outside: Space, lease: str, claimed: str
) -> None:
    runtime.host.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0")
    record(lease, VXLAN)
    add(runtime, container, subnetFile=lease, spoofchk=False)
    bridge = runtime.host.network.link("br0")
    assert bridge is not None
    with ExitStack() as stack, netns.inside(runtime.host.namespace):
        ear = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        ear.bind(("198.51.100.1", 8472))
        ear.settimeout(0.3)
        other = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        other.bind(("198.51.100.1", 53))
        other.settimeout(3)
        for port in (8472, 53):
            packets.send_raw(container, "eth0", bridge.mac, packets.datagram(claimed, "198.51.100.1", port, OF_7))
        assert other.recv(100) == OF_7
        with pytest.raises(TimeoutError):
            ear.recv(100)


@pytest.mark.parametrize("protocol", [4, 50])
def test_a_protocol_of_its_own_is_dropped(
    runtime: Runtime, container: Space, outside: Space, lease: str, protocol: int
) -> None:
    record(lease, Tunnel("tulle-guard-ipip", protocols=(protocol,), underlay="up"))
    add(runtime, container, subnetFile=lease)
    bridge = runtime.host.network.link("br0")
    assert bridge is not None
    with ExitStack() as stack:
        with netns.inside(outside.namespace):
            ears = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_RAW, one)) for one in (protocol, 99)]
        for one, ear in zip((protocol, 99), ears, strict=True):
            ear.settimeout(0.3)
            packets.send_raw(container, "eth0", bridge.mac, packets.ip("10.42.7.5", OUTSIDE, one, bytes(40)))
        assert ears[1].recv(100)
        with pytest.raises(TimeoutError):
            ears[0].recv(100)


@pytest.mark.parametrize(("device", "port"), [("", 8472), ("flannel.7 type vxlan id 7 dstport 4789", 4789)])
def test_without_a_record_flannels_ports_are_meant(
    runtime: Runtime, container: Space, outside: Space, lease: str, device: str, port: int
) -> None:
    if device:
        runtime.host.run("ip", "link", "add", *device.split(), "local", "198.51.100.1", "dev", "up")
    add(runtime, container, subnetFile=lease)
    assert tables(runtime) == ["tulle-guard"]
    assert [arrives(container, outside, OUTSIDE, one, OF_8) for one in (port, 53)] == [False, True]


def test_a_table_that_is_there_stays(runtime: Runtime, container: Space, lease: str) -> None:
    record(lease, VXLAN)
    runtime.host.run("nft", "add", "table", "inet", "tulle-guard-7")
    add(runtime, container, subnetFile=lease)
    assert "chain" not in runtime.host.run("nft", "list", "table", "inet", "tulle-guard-7")


def test_nothing_to_guard_is_no_table(runtime: Runtime, container: Space, make_space: Any, lease: str) -> None:
    record(lease)
    add(runtime, container, subnetFile=lease)
    assert runtime.call("ADD", make_space("other").path, container="c2", bridge="br1")["ips"]
    assert tables(runtime) == []


UNUSABLE = Tunnel("tulle-guard-7", (8472,), 7, underlay="x" * 40)


def test_what_cannot_be_set_refuses_the_add(runtime: Runtime, container: Space, lease: str) -> None:
    record(lease, UNUSABLE)
    answer = runtime.call("ADD", container.path, subnetFile=lease)
    assert ("tunnel between hosts" in answer["msg"], runtime.veths(), runtime.ipam_calls()[-1]) == (True, [], "DEL c1")


def test_the_next_add_sets_it_again_after_a_flush(
    runtime: Runtime, container: Space, make_space: Any, outside: Space, lease: str
) -> None:
    record(lease, VXLAN)
    add(runtime, container, subnetFile=lease)
    runtime.host.run("nft", "flush", "ruleset")
    runtime.ipam_answers({"address": "10.42.7.6/24", "gateway": "10.42.7.1"})
    assert runtime.call("ADD", make_space("next").path, container="c2", subnetFile=lease)["ips"]
    assert [arrives(container, outside, OUTSIDE, port, OF_7) for port in (8472, 53)] == [False, True]
