"""Claims, in either firewall mode and for both families, where iptables' FORWARD drops by policy: what a container sends outside has
the host's address there; a container on another host and one on the same host see the container's own; the rules are the mode's,
the other mode's are gone; and where the chosen tool is absent the other one does it and the log says so.
"""

import json
import re
import socket
from collections.abc import Callable
from ipaddress import IPv6Interface
from pathlib import Path

import pytest

from kernel import netns
from kernel.netlink.requests import AddVeth, SetLink
from lease.file import Lease
from tests.lab import waiting
from tests.netns.overlay.conftest import Start
from tests.netns.overlay.daemons import Tulled
from tests.netns.spaces import Space

PORT = 4243
TOOLS = {"iptables": "/usr/sbin/iptables", "nftables": "/usr/sbin/nft"}
Make = Callable[[str], Space]


def config(place: Path, *, native: bool) -> tuple[str, ...]:
    """Give the flags of a dual-stack network in a firewall mode."""
    network = {"Network": "10.42.0.0/16", "EnableIPv6": True, "IPv6Network": "fd00:42::/48"}
    (place / "net.json").write_text(json.dumps({**network, "EnableNFTables": native, "Backend": {"Type": "vxlan"}}))
    store = ("--store", f"sqlite:{place / 'dual.db'}", "--net-config", str(place / "net.json"))
    return (*store, "--iface", "eth0", "--ip-masq", "--bridge", "tulle0")


def container(make_space: Make, daemon: Tulled, name: str, number: int) -> tuple[Space, Lease]:
    """Attach a pretend container to the daemon's bridge, with address `number` of its subnets."""
    space, host, lease = make_space(name), daemon.space, daemon.lease
    host.network.apply(AddVeth(name, "eth0", space.namespace, master=host.index("tulle0")))
    host.network.apply(SetLink(name, up=True))
    space.network.apply(SetLink("eth0", up=True))
    for family, gateway in (("-4", lease.subnet), ("-6", lease.ipv6_subnet)):
        assert gateway is not None
        address = f"{gateway.ip + number}/{gateway.network.prefixlen}"
        nodad = ["nodad"] if isinstance(gateway, IPv6Interface) else []
        space.run("ip", "address", "add", address, "dev", "eth0", *nodad)
        space.run("ip", family, "route", "add", "default", "via", str(gateway.ip))
    return space, lease


def address(lease: Lease, number: int, version: int) -> str:
    gateway = lease.subnet if version == 4 else lease.ipv6_subnet
    assert gateway is not None
    return str(gateway.ip + number)


def seen_source(sender: Space, receiver: Space, target: str) -> str:
    """Send datagrams until one arrives, and give whom the receiver takes for the sender."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with netns.inside(receiver.namespace):
        ear = socket.socket(family, socket.SOCK_DGRAM)
    with netns.inside(sender.namespace):
        mouth = socket.socket(family, socket.SOCK_DGRAM)
    with ear, mouth:
        ear.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", PORT))
        ear.settimeout(0.3)
        for _ in range(20):
            mouth.sendto(b"who am I", (target, PORT))
            try:
                return str(ear.recvfrom(100)[1][0])
            except TimeoutError:
                continue
    return "nothing arrived"


@pytest.mark.parametrize("native", [False, True], ids=["iptables", "nftables"])
def test_containers_keep_their_address_inside_and_get_the_hosts_outside(
    three: tuple[Space, ...], make_space: Make, start: Start, tmp_path: Path, native: bool
) -> None:
    for number, space in enumerate(three, start=1):
        space.run("ip", "address", "add", f"2001:db8::{number}/64", "dev", "eth0", "nodad")
    for space in three[:2]:
        for tool in ("iptables", "ip6tables"):
            space.run(tool, "-P", "FORWARD", "DROP")
    daemons = [start(space, *config(tmp_path, native=native)) for space in three[:2]]
    one, two = (daemon.ready() for daemon in daemons)
    waiting.until(lambda: one.knows(two) and two.knows(one), "peers", namespace=one.space.namespace)
    (first, lease), (near, _) = (container(make_space, one, f"c{number}", number) for number in (5, 6))
    far, beyond = container(make_space, two, "c7", 7)
    seen = {
        version: (
            seen_source(first, three[2], outside),
            seen_source(first, far, address(beyond, 7, version)),
            seen_source(first, near, address(lease, 6, version)),
            seen_source(one.space, far, address(beyond, 7, version)),
        )
        for version, outside in ((4, "192.0.2.3"), (6, "2001:db8::3"))
    }
    own = {version: address(lease, 5, version) for version in (4, 6)}
    assert [seen[4][:3], seen[6][:3]] == [("192.0.2.1", own[4], own[4]), ("2001:db8::1", own[6], own[6])]
    assert (seen[4][3], seen[6][3]) == (one.base, str(one.lease.ipv6_subnet.network.network_address))  # type: ignore[union-attr]


CHAIN = """-N FLANNEL-POSTRTG
-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s {P} -d {N} -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s {N} -d {P} -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG ! -s {N} -d {P} -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s {N} ! -d {M} -m comment --comment "flanneld masq" -j MASQUERADE --random-fully
-A FLANNEL-POSTRTG ! -s {N} -d {N} -m comment --comment "flanneld masq" -j MASQUERADE --random-fully
"""


def test_a_change_of_mode_changes_all_rules_both_ways(hosts: tuple[Space, Space], start: Start, tmp_path: Path) -> None:
    space, said = hosts[0], [""]
    space.run("ip", "address", "add", "2001:db8::1/64", "dev", "eth0", "nodad")
    for native in (False, True, False):
        backend = {"Type": "vxlan", "VNI": 1}
        shared = {"EnableIPv6": True, "IPv6Network": "fd00:42::/48", "EnableNFTables": native, "Backend": backend}
        host = {"PublicIP": "192.0.2.1", "Subnet": "10.42.1.0/24"}
        host |= {"PublicIPv6": "2001:db8::1", "IPv6Subnet": "fd00:42:0:1::/64"}
        (tmp_path / "hosts.json").write_text(
            json.dumps({"Network": {"Network": "10.42.0.0/16", **shared}, "Hosts": [host]})
        )
        daemon = start(space, "--store", f"file:{tmp_path / 'hosts.json'}", "--ip-masq").ready()
        assert daemon.end() == 0
        said = [space.run(tool, "-t", "nat", "-S") for tool in ("iptables", "ip6tables")]
        tables = set(re.findall("flannel-ipv.", space.run("nft", "list", "tables")))
        assert tables == ({"flannel-ipv4", "flannel-ipv6"} if native else set())
        assert ["FLANNEL" in one for one in said] == [not native] * 2
    four = CHAIN.format(N="10.42.0.0/16", P="10.42.1.0/24", M="224.0.0.0/4")
    six = CHAIN.format(N="fd00:42::/48", P="fd00:42:0:1::/64", M="ff00::/8")
    assert [one[one.index("-N") :] for one in said] == [four, six]


@pytest.mark.parametrize("native", [False, True], ids=["iptables", "nftables"])
def test_where_the_chosen_tool_is_absent_the_other_one_does_it(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path, native: bool
) -> None:
    hidden = [TOOLS["nftables" if native else "iptables"]]
    script = 'for each in $HIDDEN; do mount --bind /dev/null "$(readlink -f "$each")" || exit 9; done; exec "$@"'
    within = ("env", f"HIDDEN={' '.join(hidden)}", "unshare", "--mount", "sh", "-c", script, "-")
    network = {"Network": "10.42.0.0/16", "EnableNFTables": native, "Backend": {"Type": "vxlan"}}
    (tmp_path / "net.json").write_text(json.dumps(network))
    store = ("--store", f"sqlite:{tmp_path / 'a.db'}", "--net-config", str(tmp_path / "net.json"), "--iface", "eth0")
    daemon = start(hosts[0], *store, "--ip-masq", "--tunnel-guard=false", within=within).ready()
    first, second = ("nftables", "iptables") if native else ("iptables", "nftables")
    sentence = f"IPv4 has no usable {first} here: {second} is used instead"
    assert sentence in daemon.log.read_text()
    assert ("FLANNEL-POSTRTG" in hosts[0].run("iptables", "-t", "nat", "-S")) == native
    assert ("flannel-ipv4" in hosts[0].run("nft", "list", "tables")) != native


def test_the_older_iptables_which_tells_of_no_change_is_looked_at_every_interval(
    hosts: tuple[Space, Space], start: Start
) -> None:
    space = hosts[0]
    script = 'mount --bind "$(readlink -f /usr/sbin/iptables-legacy)" "$(readlink -f /usr/sbin/iptables)" && exec "$@"'
    within = ("unshare", "--mount", "sh", "-c", script, "-")
    start(space, "--ip-masq", "--iptables-resync", "1", within=within).ready()
    before = space.run("iptables-legacy", "-t", "nat", "-S")
    assert '-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG' in before
    space.run("iptables-legacy", "-t", "nat", "-F", "POSTROUTING")
    waiting.until(
        lambda: space.run("iptables-legacy", "-t", "nat", "-S") == before, "the jump is back", namespace=space.namespace
    )


def test_without_nft_the_log_says_that_the_tunnel_is_open_and_how_to_have_it_so(
    hosts: tuple[Space, Space], start: Start
) -> None:
    script = 'mount --bind /dev/null "$(readlink -f /usr/sbin/nft)" && exec "$@"'
    daemon = start(hosts[0], within=("unshare", "--mount", "sh", "-c", script, "-"))
    waiting.until(daemon.lease_file.exists, "the lease file")
    said = "anybody may send to the tunnel: running nft: Package not installed"
    assert (said in daemon.log.read_text(), "--tunnel-guard=false" in daemon.log.read_text()) == (True, True)
