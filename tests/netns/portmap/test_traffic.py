"""Claims about published ports, with real packets through both backends (docs/reference/cni.md 5, portmap, integration).

* A port is reached from outside, from the host by its own address and by 127.0.0.1, and from the container itself; by both
  families, with and without br_netfilter; the stranger's address arrives, what comes from the bridge is masqueraded,
  and what does not use the published port is not.
* On a second host address several containers own the same port, and what is published there is not elsewhere.
* Conditions keep strangers out; packets for others' addresses are never translated (CVE-2025-67499).
* UDP reaches the new container when the one that had the port is replaced (the flow goes on).
* With DEL and GC a port's UDP flows end, whatever the runtime hands back and whether the namespace lives: a server of the host answers them
  next. Flows of other ports, and to the same port of other hosts, go on.
* 127.0.0.0/8 of the host stays closed to neighbours although route_localnet is on (CVE-2020-8558).
"""

import re
import socket
from ipaddress import ip_address, ip_interface
from typing import Any

import pytest

from kernel import sysctl
from kernel.netlink.requests import AddAddress
from tests.netns.portmap.conftest import (
    OUTSIDE,
    OUTSIDE_SIX,
    REFUSAL,
    SECOND,
    SECOND_SIX,
    UPLINK,
    Runtime,
    Talker,
    serve,
    tcp,
    udp,
    visit,
)
from tests.netns.spaces import Space


@pytest.mark.parametrize("filtered", ["0", "1"], ids=["", "br_netfilter"])
def test_a_port_is_reached_from_everywhere(each: Runtime, outside: Space, filtered: str) -> None:
    for key in ("net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables"):
        if sysctl.read(key, each.host.namespace) is not None:  # absent: br_netfilter is not loaded, as with "0"
            sysctl.write(key, filtered, each.host.namespace)
    container = each.container()
    serve(each, container.space, 80, "c1")
    each.add(container, tcp(8080))
    assert visit(outside, UPLINK, 8080) == f"c1 {OUTSIDE}"
    assert visit(outside, SECOND_SIX, 8080) == f"c1 {OUTSIDE_SIX}"
    assert visit(each.host, UPLINK, 8080) == f"c1 {UPLINK}"
    assert visit(each.host, SECOND_SIX, 8080).startswith("c1 ")
    assert visit(each.host, "127.0.0.1", 8080) == "c1 10.1.0.1"
    assert visit(container.space, "10.1.0.1", 8080) == "c1 10.1.0.1"
    assert visit(container.space, UPLINK, 8080) == "c1 10.1.0.1"
    assert visit(container.space, "fd00:1::1", 8080) == "c1 fd00:1::1"
    neighbour = each.container(6)
    assert visit(neighbour.space, UPLINK, 8080) == "c1 10.1.0.1"
    assert visit(neighbour.space, SECOND_SIX, 8080) == "c1 fd00:1::1"
    assert visit(neighbour.space, container.four, 80) == f"c1 {neighbour.four}"


def test_two_containers_own_one_port_on_two_host_addresses(each: Runtime, outside: Space) -> None:
    first, second = each.container(5), each.container(6)
    for container, address in ((first, UPLINK), (second, SECOND)):
        serve(each, container.space, 9000, container.name)
        each.add(container, tcp(1234, 9000, address))
    for space, seen in ((outside, OUTSIDE), (each.host, UPLINK)):
        assert visit(space, UPLINK, 1234) == f"c1 {seen}"
        assert visit(space, SECOND, 1234).startswith("c2 ")
    with pytest.raises(ConnectionRefusedError):
        visit(each.host, "127.0.0.1", 1234)
    assert sysctl.read("net/ipv4/conf/br0/route_localnet", each.host.namespace) == "0"


@pytest.mark.parametrize(
    ("backend", "words"), [("iptables", ["!", "-s", OUTSIDE]), ("nftables", [f"ip saddr != {OUTSIDE}"])]
)
def test_conditions_keep_strangers_out(runtime: Runtime, outside: Space, backend: str, words: list[str]) -> None:
    container, open_one = runtime.container(5), runtime.container(6)
    serve(runtime, container.space, 80, "c1")
    serve(runtime, open_one.space, 80, "c2")
    runtime.add(container, tcp(8080), backend=backend, conditionsV4=words)
    runtime.add(open_one, tcp(8081), backend=backend)
    with pytest.raises(ConnectionRefusedError):
        visit(outside, UPLINK, 8080)
    assert visit(runtime.host, UPLINK, 8080) == f"c1 {UPLINK}"
    assert visit(outside, UPLINK, 8081) == f"c2 {OUTSIDE}"


def test_packets_for_others_are_not_translated(each: Runtime, outside: Space) -> None:
    container = each.container()
    serve(each, container.space, 80, "c1")
    outside.network.apply(AddAddress(outside.index("eth0"), ip_interface("192.0.2.99/32"), nodad=True))
    serve(each, outside, 8080, "somebody else")
    outside.run("ip", "route", "add", "10.1.0.0/24", "via", UPLINK)
    each.add(container, tcp(8080))
    assert visit(container.space, "192.0.2.99", 8080).startswith("somebody else")
    assert visit(each.host, "192.0.2.99", 8080).startswith("somebody else")


def test_udp_goes_on_with_the_next_container(each: Runtime, outside: Space) -> None:
    first, second = each.container(5), each.container(6)
    for container in (first, second):
        serve(each, container.space, 53, container.name, socket.SOCK_DGRAM)
    talker = Talker(each, outside)
    each.add(first, udp(5353, 53))
    assert talker.ask(UPLINK, 5353) == f"c1 {OUTSIDE}"
    assert each.call("DEL", first, udp(5353, 53)) == {}
    each.add(second, udp(5353, 53))
    assert talker.ask(UPLINK, 5353) == f"c2 {OUTSIDE}"


@pytest.mark.parametrize("address", [SECOND, SECOND_SIX])
@pytest.mark.parametrize("verb", ["DEL", "DEL of a dead namespace", "DEL without mappings", "GC"])
def test_a_flow_ends_with_its_port_and_others_go_on(each: Runtime, outside: Space, address: str, verb: str) -> None:
    container, other = each.container(5), each.container(6)
    for one in (container, other):
        serve(each, one.space, 53, one.name, socket.SOCK_DGRAM)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    talker, beside = Talker(each, outside, family), Talker(each, outside, family)
    each.add(container, udp(5353, 53))
    each.add(other, udp(5354, 53))
    assert talker.ask(address, 5353).startswith("c1 ")
    assert beside.ask(address, 5354).startswith("c2 ")
    # a flow of the other container's to the same port, elsewhere: the published port is not in it
    serve(each, outside, 5353, "elsewhere", socket.SOCK_DGRAM)
    away = Talker(each, other.space, family)
    there = OUTSIDE_SIX if ":" in address else OUTSIDE
    outside.run("ip", "route", "add", "fd00:1::/64" if ":" in there else "10.1.0.0/24", "via", address)
    assert away.ask(there, 5353).startswith("elsewhere ")
    before = flows(each.host)
    if verb == "GC":
        kept = [{"containerID": other.name, "ifname": "eth0"}]
        asked: dict[str, Any] = {"cniVersion": "1.1.0", "cni.dev/valid-attachments": kept}
        gone = each.call("GC", None, **asked)
    else:
        mappings = [] if "without" in verb else [udp(5353, 53)]
        gone = each.call("DEL", None if "dead" in verb else container, *mappings)
    assert gone == {}
    assert before - flows(each.host) == {(address, 5353)}
    serve(each, each.host, 5353, "host", socket.SOCK_DGRAM)
    assert talker.ask(address, 5353).startswith("host ")
    assert beside.ask(address, 5354).startswith("c2 ")


def test_the_flows_of_what_makes_room_end_too(each: Runtime, outside: Space) -> None:
    first, second = each.container(5), each.container(6)
    serve(each, first.space, 53, "c1", socket.SOCK_DGRAM)
    talker = Talker(each, outside)
    each.add(first, udp(5353, 53), tcp(8080))
    assert talker.ask(SECOND, 5353) == f"c1 {OUTSIDE}"
    each.add(second, tcp(8080), prevResult={**second.result, "ips": first.result["ips"]})  # it has that address now
    assert flows(each.host) == set()


def flows(host: Space) -> set[tuple[str, int]]:
    """Where the UDP flows that the host tracks were first sent."""
    lines = [line for line in host.run("cat", "/proc/net/nf_conntrack").splitlines() if " udp " in line]
    told = [re.search(r"dst=(\S+) sport=\d+ dport=(\d+)", line) for line in lines]
    return {(str(ip_address(found[1])), int(found[2])) for found in told if found}


def test_a_neighbour_does_not_reach_the_hosts_loopback(each: Runtime, outside: Space) -> None:
    container = each.container()
    each.add(container, tcp(8080))
    assert sysctl.read("net/ipv4/conf/br0/route_localnet", each.host.namespace) == "1"
    serve(each, each.host, 7000, "secret")
    assert visit(each.host, "127.0.0.1", 7000) == "secret 127.0.0.1"
    container.space.run("ip", "route", "add", "127.0.0.9", "via", "10.1.0.1")
    container.space.run("ip", "route", "del", "local", "127.0.0.0/8", "table", "local")
    container.space.run("ip", "route", "del", "local", "127.0.0.1", "table", "local")
    container.space.run("sysctl", "-qw", "net.ipv4.conf.eth0.route_localnet=1")
    with pytest.raises(TimeoutError):
        visit(container.space, "127.0.0.9", 7000, within=REFUSAL)


def test_a_port_of_another_container_stays_reachable_when_one_goes(each: Runtime, outside: Space) -> None:
    first, second = each.container(5), each.container(6)
    for number, container in enumerate((first, second)):
        serve(each, container.space, 80, container.name)
        each.add(container, tcp(8080 + number))
    assert each.call("DEL", first, tcp(8080)) == {}
    assert visit(outside, UPLINK, 8081) == f"c2 {OUTSIDE}"
    with pytest.raises(ConnectionRefusedError):
        visit(outside, UPLINK, 8080)
