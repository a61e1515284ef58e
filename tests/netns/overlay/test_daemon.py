"""Claims about real daemons on two or three hosts:

- every host reaches every other one's overlay address; READY comes after the lease file; the bridge is up with its gateway
- a deleted device, route, FDB or ARP entry, bridge or firewall table comes back within 10 s, the device with its MAC
- the daemon's death loses no packet; its restart keeps subnet and MAC; SIGTERM leaves everything in place and exits 0
- a subnet given to another host is withdrawn and replaced; a peer that leaves is forgotten
- with a hosts file no store is shared and the MACs are the derived ones; a host that is taken out withdraws its lease file
- a changed MTU reaches the existing device; a peer that moves on or off our wire changes between direct route and tunnel
- dual stack carries both families
- the log names links, and says states in words; peers that a backend leaves out do not count
"""

import json
import re
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from kernel import netns
from kernel.netlink.requests import DeleteLink
from overlay.backends import vxlan
from tests.lab import waiting
from tests.netns.overlay.conftest import Start
from tests.netns.overlay.daemons import DEVICE, Tulled, segment
from tests.netns.spaces import Space

REPAIR = 10.0


def together(*daemons: Tulled) -> tuple[Tulled, ...]:
    """Wait until all are ready and know each other."""
    for daemon in daemons:
        daemon.ready()
    for daemon in daemons:
        for other in daemons:
            if daemon is not other:
                waiting.until(lambda a=daemon, b=other: a.knows(b), "peer known", namespace=daemon.space.namespace)  # type: ignore[misc]
    return daemons


@pytest.fixture
def two(hosts: tuple[Space, Space], start: Start) -> tuple[Tulled, Tulled]:
    one, other = together(
        *(start(space, "--ip-masq", "--healthz-port", "8471", "--bridge", "tulle0") for space in hosts)
    )
    return one, other


def test_three_hosts_reach_each_other(make_space: Callable[[str], Space], start: Start) -> None:
    spaces = [make_space(name) for name in ("one", "two", "three")]
    segment(make_space("wire"), *spaces)
    daemons = together(*map(start, spaces))
    for daemon in daemons:
        for other in daemons:
            daemon.ping(other)


def test_ready_means_lease_file_bridge_and_health(two: tuple[Tulled, Tulled]) -> None:
    one, other = two
    assert str(one.lease.networks[0]) == "10.42.0.0/16"
    assert (one.lease.mtu, one.lease.ipmasq) == (1450, True)
    bridge = one.space.network.link("tulle0")
    assert bridge is not None
    assert (bridge.up, bridge.mtu) == (True, 1450)
    assert one.lease.subnet in {held.address for held in one.space.network.addresses(bridge.index)}
    assert other.health("/readyz")[0] == 200
    assert one.health("/healthz")[1]["subnet"] == str(one.subnet)


def test_a_deleted_device_comes_back_with_its_mac_and_entries(two: tuple[Tulled, Tulled]) -> None:
    one, other = two
    mac = one.mac
    one.space.network.apply(DeleteLink(DEVICE))
    waiting.until(lambda: one.knows(other), "device repaired", namespace=one.space.namespace, within=REPAIR)
    assert one.mac == mac
    one.ping(other)


@pytest.mark.parametrize(
    "damage",
    [
        ("ip", "route", "flush", "dev", DEVICE),
        ("ip", "neighbour", "flush", "nud", "permanent", "dev", DEVICE),
        ("ip", "link", "set", DEVICE, "down"),
        ("ip", "address", "flush", "dev", DEVICE),
        ("sh", "-c", f"bridge fdb show dev {DEVICE} | while read mac rest; do bridge fdb del $mac dev {DEVICE}; done"),
    ],
)
def test_a_damage_is_repaired(two: tuple[Tulled, Tulled], damage: tuple[str, ...]) -> None:
    one, other = two
    one.space.run(*damage)
    waiting.until(lambda: one.knows(other), "entries repaired", namespace=one.space.namespace, within=REPAIR)
    waiting.until(lambda: _reaches(one, other), "reachable", namespace=one.space.namespace, within=REPAIR)


def _reaches(one: Tulled, other: Tulled) -> bool:
    try:
        one.ping(other)
    except subprocess.CalledProcessError:
        return False
    return True


def test_deleted_bridge_and_firewall_come_back(two: tuple[Tulled, Tulled]) -> None:
    space = two[0].space
    before = _rules(space)
    space.run("nft", "flush", "ruleset")
    space.network.apply(DeleteLink("tulle0"))
    waiting.until(lambda: _rules(space) == before, "rules", namespace=space.namespace, within=REPAIR)
    waiting.until(lambda: space.network.link("tulle0"), "bridge", namespace=space.namespace, within=REPAIR)


def _rules(space: Space) -> set[str]:
    """List all rules, whatever order the tables have."""
    return set(space.run("nft", "--stateless", "list", "ruleset").splitlines())


def test_foreign_entries_are_left_alone(two: tuple[Tulled, Tulled]) -> None:
    one, _ = two
    one.space.run("ip", "route", "add", "198.51.100.0/24", "dev", DEVICE, "proto", "static")
    one.space.run("nft", "add", "table", "ip", "strangers")
    one.space.network.apply(DeleteLink("tulle0"))
    waiting.until(lambda: one.space.network.link("tulle0"), "a pass was made", namespace=one.space.namespace)
    assert "198.51.100.0/24" in one.space.run("ip", "route")
    assert "strangers" in one.space.run("nft", "list", "tables")


def test_the_daemons_death_loses_no_packet_and_its_restart_keeps_subnet_and_mac(
    two: tuple[Tulled, Tulled], start: Start
) -> None:
    one, other = two
    before = one.subnet, one.mac
    with netns.inside(one.space.namespace):
        ping = subprocess.Popen(["ping", "-i0.02", "-c150", other.base], stdout=subprocess.PIPE, text=True)
    assert one.end(signal.SIGKILL) == -signal.SIGKILL
    again = start(one.space, "--ip-masq", "--bridge", "tulle0").ready()
    said, _ = ping.communicate(timeout=30)
    assert "150 packets transmitted, 150 received, 0% packet loss" in said
    assert (again.subnet, again.mac) == before


def test_sigterm_leaves_data_path_and_lease_file(two: tuple[Tulled, Tulled]) -> None:
    one, other = two
    assert one.end() == 0
    assert one.lease_file.exists()
    one.ping(other)


def test_a_kept_device_keeps_its_mac_and_lower_mtu(hosts: tuple[Space, Space], start: Start) -> None:
    hosts[0].run(
        "ip", "link", "add", DEVICE, "address", "02:00:00:00:00:77", "mtu", "1400", "type", "vxlan", "id", "1",
        "dev", "eth0", "local", "192.0.2.1", "dstport", "8472", "nolearning",
    )  # fmt: skip
    one, other = together(*map(start, hosts))
    assert (one.mac, one.lease.mtu) == ("02:00:00:00:00:77", 1400)
    one.ping(other)


def test_a_changed_mtu_reaches_the_existing_device(hosts: tuple[Space, Space], start: Start, tmp_path: Path) -> None:
    copy = tmp_path / "hosts.json"
    copy.write_text(json.dumps(HOSTS))
    assert start(hosts[0], "--store", f"file:{copy}").ready().end() == 0
    before = hosts[0].network.link(DEVICE)
    backend = {"Type": "vxlan", "VNI": 1, "MTU": 1400}
    copy.write_text(json.dumps({**HOSTS, "Network": {"Network": "10.42.0.0/16", "Backend": backend}}))
    again = start(hosts[0], "--store", f"file:{copy}").ready()
    after = hosts[0].network.link(DEVICE)
    assert before is not None
    assert after is not None
    assert (before.mtu, after.mtu, after.index, again.lease.mtu) == (1450, 1350, before.index, 1350)


def test_a_peer_that_leaves_our_wire_gets_a_tunnel(
    make_space: Callable[[str], Space], start: Start, tmp_path: Path
) -> None:
    one, two, wire = make_space("one"), make_space("two"), make_space("wire")
    segment(wire, one, two)
    config = tmp_path / "net.json"
    config.write_text('{"Network": "10.42.0.0/16", "Backend": {"Type": "vxlan", "DirectRouting": true}}')
    store = ("--store", f"sqlite:{tmp_path / 'direct.db'}", "--net-config", str(config), "--iface", "eth0")
    first, second = (start(space, *store, "--bridge", "tulle0").ready() for space in (one, two))
    waiting.until(lambda: first.reaches(second), "direct", namespace=one.namespace)
    assert f"{second.subnet} via 192.0.2.2 dev eth0" in one.run("ip", "route")
    wire.run("ip", "address", "add", "192.0.2.254/24", "dev", "wire")
    wire.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    for near, far in ((one, 2), (two, 1)):
        near.run("ip", "route", "add", f"192.0.2.{far}/32", "via", "192.0.2.254")
    waiting.until(lambda: first.knows(second), "tunnel entries", namespace=one.namespace, within=REPAIR)
    waiting.until(lambda: first.reaches(second), "through the tunnel", namespace=one.namespace, within=REPAIR)
    assert "via 192.0.2.2 dev eth0" not in one.run("ip", "route")


def test_a_subnet_given_to_another_host_is_withdrawn_and_replaced(two: tuple[Tulled, Tulled], tmp_path: Path) -> None:
    one, other = two
    lost, key = one.subnet, f"{one.base}-24"
    value = '{"PublicIP":"192.0.2.77","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:99"}}'
    _put(tmp_path / "net.db", key, value)
    waiting.until(lambda: one.moved_from(lost), "another subnet")
    assert "lease withdrawn" in one.log.read_text()
    waiting.until(lambda: other.knows(one), "the new subnet known", namespace=other.space.namespace)


def test_a_peer_that_leaves_is_forgotten(two: tuple[Tulled, Tulled], tmp_path: Path) -> None:
    one, other = two
    assert other.end() == 0
    _put(tmp_path / "net.db", f"{other.base}-24", None)
    waiting.until(lambda: not one.knows(other), "peer forgotten", namespace=one.space.namespace)
    assert one.space.network.fdb(one.space.index(DEVICE)) == ()


def _put(path: Path, key: str, value: str | None) -> None:
    """Write an entry as another program at the same store would."""
    base = sqlite3.connect(path, timeout=5)
    with base:
        base.execute("UPDATE meta SET value = value + 1 WHERE name = 'revision'")
        revision = "(SELECT value FROM meta WHERE name = 'revision')"
        base.execute(f"UPDATE leases SET value = ?, revision = {revision} WHERE key = ?", (value, key))
    base.close()


HOSTS = {
    "Network": {"Network": "10.42.0.0/16", "Backend": {"Type": "vxlan", "VNI": 1}},
    "Hosts": [
        {"PublicIP": "192.0.2.1", "Subnet": "10.42.11.0/24"},
        {"PublicIP": "192.0.2.2", "Subnet": "10.42.12.0/24"},
    ],
}


def test_a_hosts_file_on_each_host_is_enough(hosts: tuple[Space, Space], start: Start, tmp_path: Path) -> None:
    daemons = []
    for space in hosts:
        copy = tmp_path / f"{space.name}.json"
        copy.write_text(json.dumps(HOSTS))
        daemons.append(start(space, "--store", f"file:{copy}"))
    one, other = together(*daemons)
    assert (one.subnet, one.mac) == (IPv4Network("10.42.11.0/24"), vxlan.derived_mac(1, one.subnet))
    one.ping(other)


def test_a_host_taken_out_of_the_file_withdraws_its_lease_file(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path
) -> None:
    copy = tmp_path / "hosts.json"
    copy.write_text(json.dumps(HOSTS))
    one = start(hosts[0], "--store", f"file:{copy}", "--healthz-port", "8471").ready()
    copy.write_text(json.dumps({**HOSTS, "Hosts": HOSTS["Hosts"][1:]}))  # type: ignore[index]
    waiting.until(lambda: not one.lease_file.exists(), "lease file withdrawn")
    code, body = one.health("/readyz")
    assert (code, "no host has the PublicIP 192.0.2.1" in body["missing"][0]) == (503, True)
    copy.write_text(json.dumps(HOSTS))
    waiting.until(one.lease_file.exists, "lease file written again")


def test_dual_stack_carries_both_families(hosts: tuple[Space, Space], start: Start, tmp_path: Path) -> None:
    config = tmp_path / "net-conf.json"
    config.write_text(
        '{"Network": "10.42.0.0/16", "EnableIPv6": true, "IPv6Network": "fd00:42::/48", "Backend": {"Type": "vxlan"}}'
    )
    for number, space in enumerate(hosts, start=1):
        space.run("ip", "address", "add", f"2001:db8::{number}/64", "dev", "eth0", "nodad")
    store = ("--store", f"sqlite:{tmp_path / 'dual.db'}", "--net-config", str(config), "--iface", "eth0", "--ip-masq")
    one, other = together(*(start(space, *store) for space in hosts))
    assert other.lease.ipv6_subnet is not None
    base = str(other.lease.ipv6_subnet.network.network_address)
    waiting.until(lambda: base in one.space.run("ip", "-6", "route"), "IPv6 route", namespace=one.space.namespace)
    assert re.search("1 received", one.space.run("ping", "-6", "-c1", "-W2", base))


def test_metrics_count_peers_bytes_and_what_had_drifted(two: tuple[Tulled, Tulled]) -> None:
    one, other = two
    before = one.metrics()
    assert (before["tulle_leases"], before["tulle_peers"], before["tulle_peers_programmed"]) == (2, 1, 1)
    assert before["tulle_store_age_seconds"] < 5
    assert before["tulle_drift_repaired_total"] == 0
    one.space.run("ip", "route", "del", str(other.subnet))
    waiting.until(lambda: one.knows(other), "the route again", namespace=one.space.namespace)
    one.ping(other)
    waiting.until(lambda: one.metrics()["tulle_drift_repaired_total"] == 1, "one repair counted")
    assert one.metrics()['tulle_device_transmit_bytes_total{device="flannel.1",}'] >= 84


def test_nothing_is_written_while_nothing_changes(two: tuple[Tulled, Tulled]) -> None:
    one, _ = two
    lines, passes = len(one.log.read_text().splitlines()), one.health("/healthz")[1]["passes"]
    waiting.until(lambda: one.health("/healthz")[1]["passes"] >= passes + 3, "three more passes", within=20)
    assert len(one.log.read_text().splitlines()) == lines


def test_the_log_names_links_and_says_states_in_words(hosts: tuple[Space, Space], start: Start) -> None:
    daemon = start(hosts[0], "--bridge", "tulle0").ready()
    hosts[0].run("ip", "link", "set", "tulle0", "down")
    waiting.until(lambda: "setting state up on tulle0" in daemon.log.read_text(), "the bridge is up again")
    said = daemon.log.read_text()
    assert f"adding address {daemon.base}/32 to flannel.1" in said
    assert not any(word in said for word in (" True", " False", " None", "to link ", "on link "))


@pytest.mark.parametrize("kind", ["host-gw", "vxlan"])
def test_peers_that_are_left_out_do_not_count(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path, kind: str
) -> None:
    addresses = {"10.42.2.0/24": "192.0.2.2", "10.42.3.0/24": "198.51.100.3"}
    listed = [{"PublicIP": "192.0.2.1", "Subnet": "10.42.1.0/24"}]
    listed += [{"PublicIP": public, "Subnet": subnet} for subnet, public in addresses.items()]
    network = {"Network": "10.42.0.0/16", "Backend": {"Type": kind}}
    (tmp_path / "hosts.json").write_text(json.dumps({"Network": network, "Hosts": listed}))
    daemon = start(hosts[0], "--store", f"file:{tmp_path / 'hosts.json'}", "--healthz-port", "8471").ready()
    peers = daemon.health("/readyz")[1]["peers"]
    assert peers == (1 if kind == "host-gw" else 2)  # host-gw needs one wire
