"""Claims about bridge.spoofchk and bridge.spoofchk_table: in the real kernel a container speaks for itself only (key `spoofchk`).

* With a lease, and by the key: no frame under another's MAC, IPv4, ARP or IPv6 address, no advertisement of another's address, no
  router advertisement, redirect or DHCP answer arrives at a neighbour, whole, in fragments or behind a VLAN tag; each does
  without the key. What a container says for itself arrives. An IPv4-only container makes nobody an IPv6 router.
* The rules stand before the port; a refused ADD, DEL with and without namespace and GC leave no element; the table stays.
* After `nft flush ruleset`, or of the table's rules, the next ADD makes them again for every port that is left; CHECK and repair know.
* What cannot be written under /run refuses nothing, and DEL finds the elements all the same.
* An ADD with rules starts no program.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge import plugin, spoofchk_ports
from bridge import spoofchk as fence
from cni.request import compose
from kernel import netns as namespaces
from kernel.netlink import nf_tables
from kernel.netlink.requests import DeleteLink
from tests.netns.bridge import frames
from tests.netns.bridge.conftest import FOUR, SIX, Runtime, add
from tests.netns.bridge.frames import ARP, FRAGMENT, ICMP6, IP, IP6, OPTIONS, TCP, UDP, ether
from tests.netns.programs import counted_programs
from tests.netns.spaces import Space

MAC, FOREIGN = "02:00:00:00:00:05", "02:00:00:00:00:66"
OWN, OTHER, GATEWAY = "10.42.7.5", "10.42.7.6", "10.42.7.1"
OWN6, OTHER6, LOCAL = "fd00:42:0:7::5", "fd00:42:0:7::6", str(spoofchk_ports.link_local(MAC))
NODES = frames.ALL_NODES
DAD = "ff02::1:ff00:6"


def four(source: str, protocol: int, body: bytes, fragment: int = 0) -> bytes:
    return ether(MAC, IP, frames.ip(source, "255.255.255.255", protocol, body, fragment))


def six(source: str, following: int, body: bytes) -> bytes:
    return ether(MAC, IP6, frames.ip6(source, NODES, following, body), frames.ALL_NODES_MAC)


RA = frames.router_advertisement(LOCAL)
FORGED = {
    "another's MAC": ether(FOREIGN, ARP, frames.arp(FOREIGN, OWN, GATEWAY)),
    "another's address": four(OTHER, UDP, frames.udp(1, 2)),
    "the gateway's address": four(GATEWAY, UDP, frames.udp(1, 2)),
    "an address of the outside": four("198.51.100.1", TCP, bytes(20)),
    "no address": four("0.0.0.0", UDP, frames.udp(68, 67)),
    "another's address in a fragment": four(OTHER, UDP, bytes(16), 0x2001),
    "ARP for the gateway": ether(MAC, ARP, frames.arp(MAC, GATEWAY, OTHER, 2)),
    "ARP for a neighbour": ether(MAC, ARP, frames.arp(MAC, OTHER, GATEWAY)),
    "ARP with another's MAC in it": ether(MAC, ARP, frames.arp(FOREIGN, OWN, GATEWAY)),
    "ARP that asks as nobody for a neighbour": ether(MAC, ARP, frames.arp(MAC, "0.0.0.0", OTHER)),
    "ARP of another form": ether(MAC, ARP, frames.arp(MAC, OWN, GATEWAY, header="000608000604")),
    "reverse ARP": ether(MAC, frames.RARP, frames.arp(MAC, OWN, OWN, 4)),
    "ARP for the gateway behind a tag": ether(MAC, frames.VLAN, frames.tagged(ARP, frames.arp(MAC, GATEWAY, OTHER, 2))),
    "a tag within a tag": ether(MAC, frames.VLAN, frames.tagged(frames.VLAN, frames.tagged(ARP, frames.arp(MAC, GATEWAY, OTHER, 2)))),
    "a DHCP answer": four(OWN, UDP, frames.udp(67, 68)),
    "a DHCP answer from another port": four(OWN, UDP, frames.udp(6767, 68)),
    "the first fragment of a DHCP answer": four(OWN, UDP, frames.udp(67, 68)[:8] + bytes(8), 0x2000),
    "another protocol": ether(MAC, 0x88CC, bytes(46)),
    "another's IPv6 address": six(OTHER6, UDP, frames.udp(1, 2)),
    "another's link-local address": six("fe80::1", UDP, frames.udp(1, 2)),
    "a router advertisement": six(LOCAL, ICMP6, RA),
    "a router advertisement behind options": six(LOCAL, OPTIONS, frames.options(ICMP6) + RA),
    "a router advertisement behind a tag": ether(
        MAC, frames.VLAN, frames.tagged(IP6, frames.ip6(LOCAL, NODES, ICMP6, RA)), frames.ALL_NODES_MAC
    ),
    "the only fragment of a router advertisement": six(LOCAL, FRAGMENT, frames.fragment(ICMP6, 0, RA, 0)),
    "the first fragment of a router advertisement": six(LOCAL, FRAGMENT, frames.fragment(ICMP6, 0, RA[:8])),
    "a first fragment that hides its ICMPv6 type": six(LOCAL, FRAGMENT, frames.fragment(OPTIONS, 0, frames.options(ICMP6))),
    "a first fragment that hides its protocol": six(LOCAL, FRAGMENT, frames.fragment(OPTIONS, 0, frames.options(OPTIONS))),
    "a first fragment that hides its UDP ports": six(LOCAL, FRAGMENT, frames.fragment(OPTIONS, 0, frames.options(UDP))),
    "a redirect": six(LOCAL, ICMP6, frames.icmp6(LOCAL, NODES, 137, bytes(36))),
    "an advertisement of a neighbour": six(OWN6, ICMP6, frames.neighbour(136, OWN6, OTHER6, MAC)),
    "a probe for a neighbour's address": six("::", ICMP6, frames.neighbour(135, "::", OTHER6, MAC)),
    "an advertisement from nowhere": six("::", ICMP6, frames.neighbour(136, "::", OWN6, MAC)),
    "a packet from nowhere": six("::", UDP, frames.udp(1, 2)),
    "a DHCPv6 answer": six(LOCAL, UDP, frames.udp(547, 546)),
    "a DHCPv6 answer from another port": six(LOCAL, UDP, frames.udp(5, 546)),
    "a DHCPv6 answer behind options": six(LOCAL, OPTIONS, frames.options(UDP) + frames.udp(547, 546)),
}  # fmt: skip
HONEST = {
    "ARP": ether(MAC, ARP, frames.arp(MAC, OWN, OTHER)),
    "an ARP answer": ether(MAC, ARP, frames.arp(MAC, OWN, OTHER, 2)),
    "an ARP probe for the own address": ether(MAC, ARP, frames.arp(MAC, "0.0.0.0", OWN)),
    "UDP": four(OWN, UDP, frames.udp(1, 2)),
    "TCP": four(OWN, TCP, bytes(20)),
    "a first and a later fragment": four(OWN, UDP, bytes(16), 0x2000),
    "a later fragment": four(OWN, UDP, bytes(16), 0x0001),
    "UDP over IPv6": six(OWN6, UDP, frames.udp(1, 2)),
    "UDP from the link-local address": six(LOCAL, UDP, frames.udp(1, 2)),
    "a DHCPv6 request": six(LOCAL, UDP, frames.udp(546, 547)),
    "a solicitation": six(OWN6, ICMP6, frames.neighbour(135, OWN6, OTHER6, MAC)),
    "an advertisement": six(OWN6, ICMP6, frames.neighbour(136, OWN6, OWN6, MAC)),
    "an advertisement of the link-local address": six(LOCAL, ICMP6, frames.neighbour(136, LOCAL, LOCAL, MAC)),
    "a probe for the own address": six("::", ICMP6, frames.neighbour(135, "::", OWN6, MAC)),
    "a probe for the own link-local address": six("::", ICMP6, frames.neighbour(135, "::", LOCAL, MAC)),
    "a listener report before there is an address": six("::", ICMP6, frames.icmp6("::", NODES, 143, bytes(4))),
    "a router solicitation": six(LOCAL, ICMP6, frames.icmp6(LOCAL, NODES, 133, bytes(4))),
    "an echo request": six(OWN6, ICMP6, frames.icmp6(OWN6, NODES, 128, bytes(8))),
    "the first fragment of UDP": six(OWN6, FRAGMENT, frames.fragment(UDP, 0, frames.udp(1, 2))),
    "a later fragment of IPv6": six(OWN6, FRAGMENT, frames.fragment(UDP, 2, bytes(16), 0)),
    "the first fragment of an echo request": six(OWN6, FRAGMENT, frames.fragment(ICMP6, 0, frames.icmp6(OWN6, NODES, 128, bytes(12)))),
}  # fmt: skip


def attach(runtime: Runtime, container: Space, neighbour: Space, **keys: Any) -> dict[str, Any]:
    """Attach both; the neighbour's port is never guarded, so that it tells what the bridge lets through."""
    runtime.ipam_answers({"address": f"{OTHER}/24", "gateway": GATEWAY})
    assert "code" not in runtime.call("ADD", neighbour.path, container="c2")
    runtime.ipam_answers(FOUR, SIX)
    return add(runtime, container, args=f"MAC={MAC}", **keys)


@pytest.fixture
def neighbour(make_space: Callable[[str], Space]) -> Space:
    return make_space("neighbour")


def elements(runtime: Runtime) -> dict[str, int]:
    """How many elements each set holds; nothing without the table."""
    listed = json.loads(runtime.host.run("nft", "-j", "list", "ruleset"))["nftables"]
    sets = [item["set"] for item in listed if "set" in item and item["set"]["table"] == "tulle-spoofchk"]
    return {each["name"]: len(each.get("elem", ())) for each in sets}


EMPTY = {"ports": 0, "macs": 0, "own4": 0, "own6": 0, "about6": 0}


def arriving(sender: Space, receiver: Space, those: dict[str, bytes]) -> list[str]:
    def marker(number: int) -> bytes:
        return ether(MAC, ARP, frames.arp(MAC, OWN, f"10.42.7.{100 + number}"))

    return [
        name
        for number, (name, frame) in enumerate(those.items())
        if frames.passes(sender, receiver, frame, marker(number))
    ]


def test_nothing_forged_arrives_at_a_neighbour(runtime: Runtime, container: Space, neighbour: Space) -> None:
    attach(runtime, container, neighbour, spoofchk=True)
    assert arriving(container, neighbour, FORGED) == []


def test_all_of_it_arrives_without_the_key(runtime: Runtime, container: Space, neighbour: Space) -> None:
    attach(runtime, container, neighbour)
    assert arriving(container, neighbour, FORGED) == list(FORGED)


def test_what_a_container_says_for_itself_arrives(runtime: Runtime, container: Space, neighbour: Space) -> None:
    attach(runtime, container, neighbour, spoofchk=True)
    assert arriving(container, neighbour, HONEST) == list(HONEST)


@pytest.mark.parametrize("spoofchk", [True, False])
def test_a_container_with_ipv4_alone_makes_nobody_its_ipv6_client(
    runtime: Runtime, container: Space, neighbour: Space, spoofchk: bool
) -> None:
    attach(runtime, container, neighbour, spoofchk=spoofchk)
    last = ether(MAC, ARP, frames.arp(MAC, OWN, OTHER))
    neighbour.run("sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=2", "net.ipv6.conf.eth0.forwarding=0")
    frames.passes(container, neighbour, FORGED["a router advertisement"], last)
    assert ("default via" in neighbour.run("ip", "-6", "route")) is not spoofchk


def test_containers_reach_each_other_and_the_gateway(runtime: Runtime, container: Space, neighbour: Space) -> None:
    attach(runtime, container, neighbour, spoofchk=True)
    for target in (GATEWAY, OTHER, "fd00:42:0:7::1"):
        assert "1 received" in container.run("ping", "-c1", "-W2", target)
    assert "1 received" in neighbour.run("ping", "-c1", "-W2", "-s", "4000", OWN)
    assert "1 received" in container.run("ping", "-c1", "-W2", "-s", "4000", "fd00:42:0:7::1")


def test_a_lease_brings_the_rules_and_the_key_takes_them(runtime: Runtime, container: Space, lease: str) -> None:
    add(runtime, container, subnetFile=lease)
    assert elements(runtime) == {"ports": 1, "macs": 1, "own4": 1, "own6": 1, "about6": 1}
    assert runtime.call("DEL", container.path, subnetFile=lease) == {}
    assert elements(runtime) == EMPTY
    add(runtime, container, subnetFile=lease, spoofchk=False)
    assert elements(runtime) == EMPTY


def test_a_list_that_switches_them_off_later_leaves_none(runtime: Runtime, container: Space) -> None:
    add(runtime, container, spoofchk=True)
    assert runtime.call("DEL", container.path) == {}
    assert elements(runtime) == EMPTY


@pytest.mark.parametrize("remembered", [True, False])
@pytest.mark.parametrize("netns", ["container", "", "gone"])
def test_del_leaves_no_element(runtime: Runtime, container: Space, netns: str, remembered: bool) -> None:
    runtime.ipam_answers(FOUR, SIX)
    add(runtime, container, spoofchk=True)
    assert elements(runtime) == {"ports": 1, "macs": 1, "own4": 1, "own6": 2, "about6": 2}
    if netns == "gone":
        container.network.apply(DeleteLink("eth0"))
    if not remembered:
        shutil.rmtree(fence.MEMORY)
        Path(fence.MEMORY).mkdir()
    path = container.path if netns == "container" else ""
    assert [runtime.call("DEL", path, spoofchk=True) for _ in range(2)] == [{}, {}]
    assert elements(runtime) == EMPTY
    assert list(Path(fence.MEMORY).iterdir()) == []


def test_a_refused_add_leaves_no_element(runtime: Runtime, container: Space) -> None:
    runtime.ipam_answers(FOUR, routes=({"dst": "10.99.0.0/16", "gw": "198.51.100.7"},))
    assert runtime.call("ADD", container.path, spoofchk=True)["code"] == 100
    assert (elements(runtime), runtime.veths()) == (EMPTY, [])


def test_a_second_add_of_an_attachment_that_stands_leaves_its_port_judged(
    runtime: Runtime, container: Space, neighbour: Space
) -> None:
    attach(runtime, container, neighbour, spoofchk=True)
    assert runtime.call("ADD", container.path, args=f"MAC={MAC}", spoofchk=True)["code"] == 103
    assert arriving(container, neighbour, FORGED) == []
    assert runtime.call("DEL", container.path, spoofchk=True) == {}
    assert elements(runtime) == EMPTY


def test_gc_takes_the_elements_of_ports_that_are_gone(
    runtime: Runtime, container: Space, neighbour: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(runtime, container, spoofchk=True)
    assert "code" not in runtime.call("ADD", neighbour.path, container="c2", spoofchk=True)
    neighbour.network.apply(DeleteLink("eth0"))
    valid: dict[str, Any] = {
        "cniVersion": "1.1.0",
        "cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}],
    }
    assert runtime.call("GC", "", **valid) == {}
    assert elements(runtime)["ports"] == 2  # it may belong to an ADD that has only begun
    monkeypatch.setattr(fence, "UNDER_WAY", 0.0)
    assert runtime.call("GC", "", **valid) == {}
    assert elements(runtime) == {"ports": 1, "macs": 1, "own4": 1, "own6": 1, "about6": 1}
    assert len(list(Path(fence.MEMORY).iterdir())) == 1


@pytest.mark.parametrize(
    "flush", ["flush ruleset", "flush table bridge tulle-spoofchk", "flush chain bridge tulle-spoofchk prerouting"]
)
def test_the_next_add_makes_again_what_was_flushed(
    runtime: Runtime, container: Space, neighbour: Space, make_space: Callable[[str], Space], flush: str
) -> None:
    result = attach(runtime, container, neighbour, spoofchk=True)
    runtime.host.run("nft", flush)
    assert "spoofing" in runtime.call("CHECK", container.path, spoofchk=True, prevResult=result)["msg"]
    runtime.ipam_answers({"address": "10.42.7.9/24", "gateway": GATEWAY})
    assert "code" not in runtime.call("ADD", make_space("third").path, container="c3", spoofchk=True)
    assert elements(runtime) == {"ports": 2, "macs": 2, "own4": 2, "own6": 3, "about6": 3}
    assert runtime.call("CHECK", container.path, spoofchk=True, prevResult=result) == {}
    assert arriving(container, neighbour, FORGED) == []


@pytest.mark.parametrize(
    "loss",
    [
        "delete table bridge tulle-spoofchk",
        "flush set bridge tulle-spoofchk own4",
        "flush chain bridge tulle-spoofchk port_icmpv6",
    ],
)
def test_check_sees_what_is_missing_and_repair_brings_it_back(runtime: Runtime, container: Space, loss: str) -> None:
    result = add(runtime, container, spoofchk=True)
    assert runtime.call("CHECK", container.path, spoofchk=True, prevResult=result) == {}
    runtime.host.run("nft", loss)
    answer = runtime.call("CHECK", container.path, spoofchk=True, prevResult=result)
    assert (answer["code"], "tulle repair" in answer["remedy"]) == (102, True)
    environ = {"CNI_COMMAND": "CHECK", "CNI_CONTAINERID": "c1", "CNI_NETNS": container.path, "CNI_IFNAME": "eth0"}
    document = json.dumps({**runtime.config, "ipam": {}, "spoofchk": True, "prevResult": result}).encode()
    with namespaces.inside(runtime.host.namespace):
        plugin.restore(compose(environ, document, print))
    assert runtime.call("CHECK", container.path, spoofchk=True, prevResult=result) == {}


def test_nft_shows_whose_the_elements_are_and_reads_what_it_shows(
    runtime: Runtime, container: Space, tmp_path: Path
) -> None:
    add(runtime, container, spoofchk=True, args=f"MAC={MAC}")
    shown = runtime.host.run("nft", "list", "table", "bridge", "tulle-spoofchk")
    assert "net: net, if: eth0, id: c1" in shown
    assert f". {MAC} . {OWN} }}" in shown
    saved = tmp_path / "saved.nft"
    saved.write_text(shown)
    runtime.host.run("nft", "delete", "table", "bridge", "tulle-spoofchk")
    runtime.host.run("nft", "-f", str(saved))
    assert elements(runtime) == {"ports": 1, "macs": 1, "own4": 1, "own6": 1, "about6": 1}


def test_through_each_of_its_ports_a_container_may_send_from_all_its_addresses(
    runtime: Runtime, container: Space, neighbour: Space
) -> None:
    """Its answers leave by the port its routes name; what it was refused, or gave back, it may not send from."""
    attach(runtime, container, neighbour, spoofchk=True)
    second: dict[str, Any] = {"name": "second", "bridge": "br1", "ifname": "eth1", "spoofchk": True}
    runtime.ipam_answers({"address": "10.43.0.5/24", "gateway": "10.43.0.1"})
    assert "code" not in runtime.call("ADD", container.path, **second)
    theirs = {"the address of the other interface": four("10.43.0.5", UDP, frames.udp(1, 2))}
    assert arriving(container, neighbour, theirs) == list(theirs)
    assert arriving(container, neighbour, FORGED) == []
    runtime.host.run("nft", "flush", "ruleset")
    refused = ({"dst": "10.99.0.0/16", "gw": "198.51.100.7"},)
    runtime.ipam_answers({"address": "10.44.0.5/24", "gateway": "10.44.0.1"}, routes=refused)
    assert runtime.call("ADD", container.path, name="third", bridge="br2", ifname="eth2", spoofchk=True)["code"] == 100
    assert arriving(container, neighbour, theirs) == list(theirs)
    assert elements(runtime)["own4"] == 4
    assert runtime.call("DEL", container.path, **second) == {}
    assert arriving(container, neighbour, theirs) == []
    assert elements(runtime) == {"ports": 1, "macs": 1, "own4": 1, "own6": 2, "about6": 2}


def test_elements_that_nothing_remembers_outlive_a_flush_of_the_rules(
    runtime: Runtime, container: Space, neighbour: Space, make_space: Callable[[str], Space]
) -> None:
    attach(runtime, container, neighbour, spoofchk=True)
    shutil.rmtree(fence.MEMORY)
    runtime.host.run("nft", "flush table bridge tulle-spoofchk")
    runtime.ipam_answers({"address": "10.42.7.9/24", "gateway": GATEWAY})
    assert "code" not in runtime.call("ADD", make_space("third").path, container="c3", spoofchk=True)
    assert elements(runtime)["ports"] == 2
    assert arriving(container, neighbour, FORGED) == []


def test_without_a_place_to_remember_everything_works(
    runtime: Runtime, container: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fence, "MEMORY", "/proc/nowhere")
    add(runtime, container, spoofchk=True)
    assert elements(runtime)["ports"] == 1
    assert runtime.call("DEL", container.path, spoofchk=True) == {}
    assert elements(runtime) == EMPTY


def test_a_kernel_without_the_rules_is_told_and_del_finishes_all_the_same(
    runtime: Runtime, container: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel is asked for a family of tables that it does not have, as one without CONFIG_NF_TABLES_BRIDGE would be."""
    monkeypatch.setattr(nf_tables, "BRIDGE", 77)
    answer = runtime.call("ADD", container.path, spoofchk=True)
    assert (answer["code"], "CONFIG_NF_TABLES_BRIDGE" in answer["remedy"], '"spoofchk": false' in answer["remedy"]) == (
        100,
        True,
        True,
    )
    assert (runtime.veths(), runtime.ipam_calls()) == ([], ["ADD c1", "DEL c1"])
    assert runtime.call("STATUS", "", cniVersion="1.1.0", spoofchk=True)["code"] == 50
    assert runtime.call("DEL", container.path, spoofchk=True) == {}
    nobody: dict[str, Any] = {"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}
    assert runtime.call("GC", "", **nobody) == {}


def test_status_can_tell_and_makes_nothing(runtime: Runtime) -> None:
    assert runtime.call("STATUS", "", cniVersion="1.1.0", spoofchk=True) == {}
    assert elements(runtime) == {}


def test_an_add_and_a_del_with_the_rules_start_no_program(
    runtime: Runtime, container: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = counted_programs(monkeypatch)
    add(runtime, container, spoofchk=True)
    assert runtime.call("DEL", container.path, spoofchk=True) == {}
    assert started == ["fake-ipam", "fake-ipam"]
