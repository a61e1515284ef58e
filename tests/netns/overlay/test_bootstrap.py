"""Claims about what a start waits for, each said once in the log, to the service manager and on /readyz; the daemon is ready when it comes:

- an interface, its address, a route, by each of the options that name them, or a host of the hosts file: an address that is late
- an IPv6 address for a dual-stack network; an MTU with room for the tunnel
- the address that health is to be asked for at, without the network waiting for it
- a range this host has an address or a route in is refused with both named, unless that is the network's own or allowed; one that no
  network can have is refused for good, a public one warned of
- nothing is changed in the kernel while it waits, and a signal ends it as ever
"""

import json
from pathlib import Path

import pytest

from tests.lab import waiting
from tests.netns.overlay.conftest import Start
from tests.netns.overlay.daemons import DEVICE, Tulled
from tests.netns.spaces import Space, cable

LATE = "198.51.100.1"
NETWORK = {"Network": "10.42.0.0/16", "Backend": {"Type": "vxlan"}}
DUAL = {**NETWORK, "EnableIPv6": True, "IPv6Network": "fd00:42::/48"}
WISHES = {
    ("--iface", "eth1"): "--iface eth1 does not exist or has no usable address",
    ("--iface", LATE): f"--iface {LATE} does not exist or has no usable address",
    ("--iface-regex", "198[.]51"): "--iface-regex 198[.]51 matches nothing",
    ("--iface-can-reach", "198.51.100.9"): "there is no route to 198.51.100.9",
    ("--public-ip", LATE): f"--public-ip {LATE} is on no interface",
    ("--iface", "eth1", "--public-ip", "203.0.113.1"): "--iface eth1 does not exist",
    (): "there is no default route",
}


def second_card(one: Space, two: Space) -> None:
    """Give the first host its second card, with what the wishes want of it."""
    cable(one, f"eth1={LATE}/24", two, "eth1=198.51.100.2/24")
    one.run("ip", "route", "add", "default", "via", "198.51.100.2")


def begin(start: Start, host: Space, place: Path, network: object, *flags: str) -> Tulled:
    (place / "net.json").write_text(json.dumps(network))
    store = ("--store", f"sqlite:{place / 'net.db'}", "--net-config", str(place / "net.json"))
    return start(host, *store, "--healthz-port", "8471", *flags)


@pytest.mark.parametrize("wish", WISHES)
def test_a_second_card_whose_address_comes_late_is_waited_for(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path, wish: tuple[str, ...]
) -> None:
    daemon = begin(start, hosts[0], tmp_path, NETWORK, *wish)
    daemon.status("waiting for the interface of the tunnels: ")
    assert WISHES[wish] in daemon.log.read_text()
    code, body = daemon.health("/readyz")
    assert (code, "waiting for the interface" in body["missing"][0]) == (503, True)
    assert hosts[0].network.link(DEVICE) is None
    second_card(*hosts)
    daemon.ready()
    said = daemon.log.read_text()
    assert (said.count("waiting for the interface"), "interface=eth1" in said) == (1, True)


def test_an_address_of_the_hosts_file_that_comes_late_is_waited_for(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path
) -> None:
    hosts[0].run("ip", "route", "add", "default", "via", "192.0.2.2")
    listed = [{"PublicIP": LATE, "Subnet": "10.42.9.0/24"}]
    (tmp_path / "hosts.json").write_text(json.dumps({"Network": NETWORK, "Hosts": listed}))
    daemon = start(hosts[0], "--store", f"file:{tmp_path / 'hosts.json'}")
    daemon.status("no host has an address of this host as its PublicIP (listed: 198.51.100.1; this host has: 192.0.2.1")
    cable(hosts[0], f"eth1={LATE}/24", hosts[1], "eth1=198.51.100.2/24")
    daemon.ready()
    assert str(daemon.subnet) == "10.42.9.0/24"


@pytest.mark.parametrize("wish", [(), ("--iface", "eth0")])
def test_a_host_that_is_added_to_the_file_late_is_waited_for(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path, wish: tuple[str, ...]
) -> None:
    file, entry = tmp_path / "hosts.json", {"PublicIP": "192.0.2.1", "Subnet": "10.42.1.0/24"}
    file.write_text(json.dumps({"Network": NETWORK, "Hosts": [{**entry, "PublicIP": "192.0.2.7"}]}))
    daemon = start(hosts[0], "--store", f"file:{file}", *wish)
    daemon.status("this host has: 192.0.2.1 (eth0)")
    file.write_text(json.dumps({"Network": NETWORK, "Hosts": [entry]}))
    daemon.ready()


def test_an_ipv6_address_that_comes_late_is_waited_for(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path
) -> None:
    hosts[0].run("ip", "address", "flush", "dev", "eth0", "scope", "link")
    daemon = begin(start, hosts[0], tmp_path, DUAL, "--iface", "eth0")
    daemon.status("eth0 has no IPv6 address for a dual-stack network")
    hosts[0].run("ip", "address", "add", "2001:db8::1/64", "dev", "eth0", "nodad")
    daemon.ready()


def test_a_link_local_address_is_left_for_the_one_that_comes_late(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path
) -> None:
    daemon = begin(start, hosts[0], tmp_path, DUAL, "--iface", "eth0").ready()
    hosts[0].run("ip", "address", "add", "2001:db8::1/64", "dev", "eth0", "nodad")
    waiting.until(
        lambda: "local 2001:db8::1" in hosts[0].run("ip", "-d", "link", "show", "flannel-v6.1"), "the tunnel has moved"
    )
    assert daemon.process.poll() is None


def test_an_mtu_without_room_for_the_tunnel_is_waited_for(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path
) -> None:
    hosts[0].run("ip", "link", "set", "eth0", "mtu", "100")
    daemon = begin(start, hosts[0], tmp_path, NETWORK, "--iface", "eth0")
    daemon.status("the MTU of eth0 is 100: too little is left inside the tunnel")
    hosts[0].run("ip", "link", "set", "eth0", "mtu", "1500")
    daemon.ready()


def test_an_address_to_ask_for_health_at_holds_nothing_up(hosts: tuple[Space, Space], start: Start) -> None:
    daemon = start(hosts[0], "--healthz-port", "8471", "--healthz-ip", LATE).ready()
    assert f"health cannot be asked for at {LATE} port 8471 yet" in daemon.log.read_text()
    hosts[0].run("ip", "address", "add", f"{LATE}/32", "dev", "lo")
    waiting.until(lambda: f"health can be asked for at {LATE}" in daemon.log.read_text(), "it can")


def test_a_signal_ends_a_start_that_waits(hosts: tuple[Space, Space], start: Start, tmp_path: Path) -> None:
    daemon = begin(start, hosts[0], tmp_path, NETWORK)
    daemon.status("waiting for the interface")
    assert daemon.end() == 0


TAKEN = {
    "ip address add 10.42.7.1/24 dev eth0": "10.42.0.0/16 overlaps the address 10.42.7.1/24 of eth0",
    "ip route add 10.42.9.0/24 via 192.0.2.2": "10.42.0.0/16 overlaps the route 10.42.9.0/24 via 192.0.2.2 dev eth0",
    "ip route add 10.0.0.0/8 dev eth0": "10.42.0.0/16 overlaps the route 10.0.0.0/8 dev eth0",
}


@pytest.mark.parametrize("command", TAKEN)
def test_a_range_this_host_has_already_is_refused_with_both_named(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path, command: str
) -> None:
    hosts[0].run(*command.split())
    daemon = begin(start, hosts[0], tmp_path, NETWORK, "--iface", "eth0")
    assert daemon.finished() == 1  # whatever takes it away heals it
    assert TAKEN[command] in daemon.log.read_text()
    assert hosts[0].network.link(DEVICE) is None
    fresh = {**NETWORK, "Network": "10.99.0.0/16"}  # the refused one was not stored
    hosts[0].run(*command.replace(" add ", " del ").split())
    begin(start, hosts[0], tmp_path, fresh, "--iface", "eth0").ready()


def test_an_overlap_may_be_allowed(hosts: tuple[Space, Space], start: Start, tmp_path: Path) -> None:
    hosts[0].run("ip", "route", "add", "10.0.0.0/8", "via", "192.0.2.2")
    daemon = begin(start, hosts[0], tmp_path, NETWORK, "--iface", "eth0", "--allow-overlap").ready()
    assert "10.42.0.0/16 overlaps the route 10.0.0.0/8" in daemon.log.read_text()


@pytest.mark.parametrize("kind", ["vxlan", "host-gw"])
def test_what_the_network_itself_made_is_not_in_its_way(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path, kind: str
) -> None:
    network = {**NETWORK, "Backend": {"Type": kind}}
    peer = begin(start, hosts[1], tmp_path, network, "--iface", "eth0").ready()
    flags = ("--iface", "eth0", "--bridge", "tulle0", "--ip-blackhole-route")
    daemon = begin(start, hosts[0], tmp_path, network, *flags).ready()
    waiting.until(lambda: str(peer.subnet) in hosts[0].run("ip", "route"), "the way to the peer")
    hosts[0].run("ip", "link", "add", "cni9", "type", "bridge")
    hosts[0].run("ip", "address", "add", str(daemon.gateway).rpartition(".")[0] + ".9/24", "dev", "cni9")
    assert daemon.end() == 0
    daemon.lease_file.unlink()
    again = begin(start, hosts[0], tmp_path, network, *flags[:2]).ready()
    assert "overlaps" not in again.log.read_text()


def test_a_bridge_that_was_set_up_before_with_the_subnet_of_the_hosts_file_is_not_in_its_way(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path
) -> None:
    listed = [{"PublicIP": f"192.0.2.{one}", "Subnet": f"10.42.{one}.0/24"} for one in (1, 2)]
    (tmp_path / "hosts.json").write_text(json.dumps({"Network": NETWORK, "Hosts": listed}))
    hosts[0].run("ip", "link", "add", "docker0", "type", "bridge")
    hosts[0].run("ip", "address", "add", "10.42.1.1/24", "dev", "docker0")
    daemon = start(hosts[0], "--store", f"file:{tmp_path / 'hosts.json'}", "--iface", "eth0").ready()
    assert daemon.end() == 0
    daemon.lease_file.unlink()
    Path(f"{daemon.lease_file}.made").unlink()
    hosts[0].run("ip", "route", "add", "10.42.9.0/24", "via", "192.0.2.2")
    assert start(hosts[0], "--store", f"file:{tmp_path / 'hosts.json'}", "--iface", "eth0").finished() == 1


@pytest.mark.parametrize(
    ("cidr", "code", "sentence"),
    [("127.0.0.0/16", 2, "127.0.0.0/16 is loopback range"), ("239.0.0.0/16", 2, "239.0.0.0/16 is multicast range")],
)
def test_a_range_no_network_can_have_is_refused(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path, cidr: str, code: int, sentence: str
) -> None:
    daemon = begin(start, hosts[0], tmp_path, {**NETWORK, "Network": cidr}, "--iface", "eth0")
    assert daemon.finished() == code
    assert sentence in daemon.log.read_text()


def test_a_public_range_is_warned_of(hosts: tuple[Space, Space], start: Start, tmp_path: Path) -> None:
    daemon = begin(start, hosts[0], tmp_path, {**NETWORK, "Network": "11.42.0.0/16"}, "--iface", "eth0").ready()
    assert "11.42.0.0/16 is public range" in daemon.log.read_text()
