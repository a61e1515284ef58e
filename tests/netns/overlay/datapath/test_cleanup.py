"""Claims, with real daemons that start again with another network config on the same host: the device, guard, rules, routes and blackholes of the
earlier one are gone, whichever backend it was; a device somebody else made under the recorded name stays, and so does what no
record names; a record that was tampered with removes nothing of somebody else's; after a change of range neither the device nor the
bridge has an address of the earlier one; blackholes come with their option, for both families, beside a bridge, and go with it.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from kernel.netlink.requests import DeleteLink
from tests.lab import waiting
from tests.netns.overlay.conftest import CARRIED, Start
from tests.netns.overlay.daemons import Tulled
from tests.netns.spaces import Space

VXLAN: dict[str, Any] = {"Type": "vxlan"}


def once(
    start: Start,
    space: Space,
    place: Path,
    *flags: str,
    net: str = "10.42",
    six: bool = False,
    native: bool = False,
    **backend: Any,
) -> Tulled:
    """Run a daemon with this network until it is ready, and end it; its peer is 192.0.2.2."""
    network = {"Network": f"{net}.0.0/16", "EnableIPv6": six, "IPv6Network": "fd00:42::/48" if six else None}
    network |= {"EnableNFTables": native}
    own, peer = ({"PublicIP": f"192.0.2.{one}", "Subnet": f"{net}.{one}.0/24"} for one in (1, 2))
    if six:
        for number, one in enumerate((own, peer), start=1):
            one |= {"PublicIPv6": f"2001:db8::{number}", "IPv6Subnet": f"fd00:42:0:{number}::/64"}
    (place / "hosts.json").write_text(json.dumps({"Network": {**network, "Backend": backend}, "Hosts": [own, peer]}))
    daemon = start(space, "--store", f"file:{place / 'hosts.json'}", *flags).ready()
    assert daemon.end() == 0
    return daemon


def links(space: Space) -> set[str]:
    return {link.name for link in space.network.links() if link.name.startswith("flannel")}


def test_another_vni_leaves_neither_device_nor_guard_of_the_earlier(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path
) -> None:
    space = hosts[0]
    space.run("ip", "address", "add", "2001:db8::1/64", "dev", "eth0", "nodad")
    once(start, space, tmp_path, six=True, **VXLAN)
    assert links(space) == {"flannel.1", "flannel-v6.1"}
    daemon = once(start, space, tmp_path, **VXLAN, VNI=7)
    assert links(space) == {"flannel.7"}
    assert "tulle-guard-1" not in space.run("nft", "list", "tables")
    assert "removing table tulle-guard-1" in daemon.log.read_text()


@pytest.mark.parametrize("native", [False, True], ids=["iptables", "nftables"])
def test_a_family_less_leaves_no_rule_of_it(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path, native: bool
) -> None:
    space = hosts[0]
    space.run("ip", "address", "add", "2001:db8::1/64", "dev", "eth0", "nodad")
    for six in (True, False):
        once(start, space, tmp_path, "--ip-masq", six=six, native=native, **VXLAN)
        said = space.run("ip6tables-save") + space.run("nft", "list", "tables")
        assert ("FLANNEL-POSTRTG" in said or "flannel-ipv6" in said) == six
        assert ("FLANNEL-POSTRTG" in space.run("iptables-save")) != native


def test_another_backend_leaves_no_route_and_no_device_of_the_earlier(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path
) -> None:
    space = hosts[0]
    once(start, space, tmp_path, Type="host-gw")
    space.run("ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.2", "proto", "boot")
    assert "10.42.2.0/24 via 192.0.2.2" in space.run("ip", "route")
    once(start, space, tmp_path, net="10.43", **VXLAN)
    once(start, space, tmp_path, net="10.43", Type="udp")
    assert links(space) == {"flannel0"}
    once(start, space, tmp_path, net="10.43", Type="alloc")
    assert links(space) == set()
    assert ("10.42" in space.run("ip", "route"), "198.51.100.0/24" in space.run("ip", "route")) == (False, True)
    space.network.attempt([DeleteLink(name) for name in CARRIED])


def test_what_somebody_else_made_under_the_name_stays(hosts: tuple[Space, Space], start: Start, tmp_path: Path) -> None:
    space = hosts[0]
    once(start, space, tmp_path, **VXLAN)
    space.network.apply(DeleteLink("flannel.1"))
    for name, vni in (("flannel.1", "1"), ("flannel.9", "9")):
        space.run("ip", "link", "add", name, "type", "vxlan", "id", vni, "dstport", "8472", "local", "192.0.2.1")
    once(start, space, tmp_path, net="10.43", Type="alloc")
    assert links(space) == {"flannel.1", "flannel.9"}


def test_a_record_that_was_tampered_with_removes_nothing_of_somebody_elses(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path
) -> None:
    space = hosts[0]
    daemon = once(start, space, tmp_path, **VXLAN)
    space.run("ip", "link", "add", "vxlan9", "type", "vxlan", "id", "9", "dstport", "4789", "local", "192.0.2.1")
    space.run("ip", "link", "add", "flannel.br", "type", "bridge")
    record = Path(f"{daemon.lease_file}.made")
    names = ("lo", "eth0", "vxlan9", "flannel.br")
    members = json.loads(record.read_text()) | {"links": [[name, space.index(name)] for name in names]}
    members |= {"gateways": ["0.0.0.0/0", "128.0.0.0/1", "::/0"], "blackholes": ["198.51.100.0/24"]}
    space.run("ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.2")
    record.write_text(json.dumps(members))
    once(start, space, tmp_path, net="10.43", Type="alloc")
    assert all(space.network.link(name) for name in names)
    assert "198.51.100.0/24 via 192.0.2.2" in space.run("ip", "route")


def test_a_record_nested_deeply_counts_as_none(hosts: tuple[Space, Space], start: Start, tmp_path: Path) -> None:
    daemon = once(start, hosts[0], tmp_path, **VXLAN)
    Path(f"{daemon.lease_file}.made").write_text('{"boot":' * 100_000)
    once(start, hosts[0], tmp_path, **VXLAN)


@pytest.mark.parametrize("kind", ["vxlan", "udp", "host-gw"])
def test_after_a_change_of_range_nothing_has_an_address_of_the_earlier_one(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path, kind: str
) -> None:
    space = hosts[0]
    once(start, space, tmp_path, "--bridge", "tulle0", Type=kind)
    once(start, space, tmp_path, "--bridge", "tulle0", net="10.43", Type=kind)
    said = space.run("ip", "address") + space.run("ip", "route")
    assert ("10.43.1.1/24" in said, "10.42." in said) == (True, False)
    space.network.attempt([DeleteLink(name) for name in CARRIED])


@pytest.mark.parametrize("bridge", [(), ("--bridge", "tulle0")], ids=["alone", "beside a bridge"])
def test_blackholes_come_and_go_with_the_option(
    hosts: tuple[Space, Space], start: Start, tmp_path: Path, bridge: tuple[str, ...]
) -> None:
    space = hosts[0]
    space.run("ip", "address", "add", "2001:db8::1/64", "dev", "eth0", "nodad")
    once(start, space, tmp_path, "--ip-blackhole-route", *bridge, six=True, **VXLAN)
    assert "blackhole 10.42.1.0/24" in space.run("ip", "route")
    assert "blackhole fd00:42:0:1::/64" in space.run("ip", "-6", "route")
    once(start, space, tmp_path, *bridge, six=True, **VXLAN)
    assert "blackhole" not in space.run("ip", "route") + space.run("ip", "-6", "route")


def test_a_blackhole_that_is_taken_away_comes_back(hosts: tuple[Space, Space], start: Start) -> None:
    daemon = start(hosts[0], "--ip-blackhole-route").ready()
    hosts[0].run("ip", "route", "del", "blackhole", str(daemon.subnet))
    waiting.until(
        lambda: f"blackhole {daemon.subnet}" in hosts[0].run("ip", "route"), "it is back", namespace=hosts[0].namespace
    )
