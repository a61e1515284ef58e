"""Claims of the reference's own bridge suite (docs/reference/cni.md 5), with the built host-local and in every version of the protocol.

* ADD makes what the suite asserts: links, MACs, gateway addresses, exact numbers of addresses, default routes.
* 0.1.0 and 0.2.0 refuse what they cannot say, in the reference's words; DEL works afterwards.
* Contradicting gateway addresses are refused or replaced, disjoint IPv6 prefixes live together.
* The bridge keeps its index and MAC, and has the link-local address of that MAC before a port is live; a late failure gives the address back; complaints of docs/reference/cni.md 6 stay solved.
Left out: VLANs, which this kernel may lack (tests/guest/bridge).
"""

from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from kernel.netlink.objects import Link
from kernel.netlink.requests import AddAddress, AddBridge
from tests.netns.bridge.conftest import FOUR, Runtime, add
from tests.netns.spaces import Space

DIST = Path(__file__).resolve().parents[3] / "dist/cni"
VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
FIRST_TWO = VERSIONS[:2]
CHECKED = VERSIONS[4:]
SUBNETS = {
    "v4": ("10.1.2.0/24",),
    "v6": ("2001:db8:42::/64",),
    "dual": ("192.168.0.0/24", "fd00:1::/64"),
    "three": ("192.168.0.0/24", "fd00:1::/64", "2001:db8:42::/64"),
}
SAYABLE = [
    pytest.param(version, subnets, id=f"{version} {name}")
    for version in VERSIONS
    for name, subnets in SUBNETS.items()
    if version not in FIRST_TWO or name != "three"
]


@pytest.fixture
def real(runtime: Runtime, tmp_path: Path) -> Runtime:
    """The runtime with the built host-local in CNI_PATH."""
    if not (DIST / "host-local").is_file():
        pytest.fail(f"{DIST}/host-local is missing: run make build")
    (tmp_path / "host-local").symlink_to(DIST / "host-local")
    runtime.config |= {"ipam": host_local(runtime, *SUBNETS["v4"])}
    return runtime


def host_local(runtime: Runtime, *subnets: str) -> dict[str, Any]:
    ranges = [[{"subnet": subnet}] for subnet in subnets]
    return {"type": "host-local", "dataDir": str(runtime.directory / "data"), "ranges": ranges}


def link(space: Space, name: str) -> Link:
    found = space.network.link(name)
    assert found is not None, name
    return found


def reservations(runtime: Runtime) -> list[str]:
    return sorted(path.name for path in (runtime.directory / "data").glob("net/[0-9a-f]*[.:]*"))


def gateway_of(subnet: str) -> str:
    network = ip_interface(subnet).network
    return f"{network.network_address + 1}/{network.prefixlen}"


def addresses(space: Space, name: str) -> list[str]:
    return [str(entry.address) for entry in space.network.addresses(space.index(name)) if entry.scope == 0]


@pytest.mark.parametrize(("version", "subnets"), SAYABLE)
@pytest.mark.parametrize("isolated", [False, True])
def test_layer_3_is_what_the_suite_asserts(
    real: Runtime, container: Space, version: str, subnets: tuple[str, ...], isolated: bool
) -> None:
    keys: dict[str, Any] = {"cniVersion": version, "ipam": host_local(real, *subnets), "portIsolation": isolated}
    result = real.call("ADD", container.path, **keys)
    assert result.get("cniVersion") == version, result
    bridge, end = link(real.host, "br0"), link(container, "eth0")
    port = link(real.host, next(each.name for each in real.host.network.links() if each.kind == "veth"))
    if version not in FIRST_TWO:
        assert [entry["name"] for entry in result["interfaces"]] == ["br0", port.name, "eth0"]
        assert [entry["mac"] for entry in result["interfaces"]] == [bridge.mac, port.mac, end.mac]
        assert [entry.get("sandbox", "") for entry in result["interfaces"]] == ["", "", container.path]
        assert {len(entry["mac"]) for entry in result["interfaces"]} == {17}
    assert (len(real.host.network.links()), bridge.kind, bridge.mac != port.mac) == (3, "bridge", True)
    assert (port.isolated, port.hairpin, bridge.promiscuous, end.operstate) == (isolated, False, 0, "up")
    assert bridge.bridge is not None
    assert not bridge.bridge.vlan_filtering
    assert {gateway_of(subnet) for subnet in subnets} <= set(addresses(real.host, "br0"))
    _exact_addresses_and_defaults(container, subnets)
    assert real.call("DEL", container.path, **keys) == {}
    assert (container.network.link("eth0"), real.host.network.link(port.name)) == (None, None)


def _exact_addresses_and_defaults(container: Space, subnets: tuple[str, ...]) -> None:
    present = container.network.addresses(container.index("eth0"))
    six = [subnet for subnet in subnets if ":" in subnet]
    assert sum(entry.address.version == 4 for entry in present) == len(subnets) - len(six)
    if six:  # only then ADD waits for the kernel to be sure of them
        assert sum(entry.address.version == 6 for entry in present) == len(six) + 1  # and the link-local one
        assert not any(entry.tentative for entry in present)
    defaults = [route for route in container.network.routes() if route.dst.prefixlen == 0]
    first = {ip_interface(subnet).version: gateway_of(subnet).split("/")[0] for subnet in reversed(subnets)}
    assert {route.dst.version: str(route.gateway) for route in defaults} == first
    assert {route.source for route in defaults} == {None}


@pytest.mark.parametrize("version", FIRST_TWO)
@pytest.mark.parametrize("verb", ["ADD", "DEL"])
def test_two_addresses_of_a_family_are_too_many_for_the_first_versions(
    real: Runtime, container: Space, version: str, verb: str
) -> None:
    answer = real.call(verb, container.path, cniVersion=version, ipam=host_local(real, *SUBNETS["three"]))
    assert answer["msg"] == f"CNI version {version} does not support more than 1 address per family"
    assert (real.veths(), reservations(real)) == ([], [])


@pytest.mark.parametrize("version", FIRST_TWO)
def test_layer_2_cannot_be_said_in_the_first_versions_and_del_cleans_up(
    real: Runtime, container: Space, version: str
) -> None:
    keys: dict[str, Any] = {"cniVersion": version, "ipam": None, "isDefaultGateway": False}
    assert "cannot convert: no valid IP addresses" in real.call("ADD", container.path, **keys)["msg"]
    assert real.call("DEL", container.path, **keys) == {}
    assert (real.veths(), container.network.link("eth0")) == ([], None)


@pytest.mark.parametrize("version", VERSIONS[2:])
def test_nameservers_come_from_resolv_conf(real: Runtime, container: Space, version: str) -> None:
    conf = real.directory / "resolv.conf"
    conf.write_text("nameserver 192.0.2.3\n")
    ipam = host_local(real, *SUBNETS["v4"]) | {"resolvConf": str(conf)}
    assert add(real, container, cniVersion=version, ipam=ipam)["dns"]["nameservers"] == ["192.0.2.3"]


@pytest.mark.parametrize("version", VERSIONS)
def test_del_of_what_was_never_added_succeeds(real: Runtime, container: Space, version: str) -> None:
    assert real.call("DEL", container.path, cniVersion=version, ipMasq=True, macspoofchk=True) == {}


@pytest.mark.parametrize("version", CHECKED)
@pytest.mark.parametrize("subnets", SUBNETS.values(), ids=SUBNETS)
def test_check_passes_on_what_nobody_touched(
    real: Runtime, container: Space, version: str, subnets: tuple[str, ...]
) -> None:
    keys: dict[str, Any] = {
        "cniVersion": version,
        "ipam": host_local(real, *subnets),
        "ipMasq": True,
        "macspoofchk": True,
    }
    result = add(real, container, **keys)
    assert real.call("CHECK", container.path, prevResult=result, **keys) == {}


@pytest.mark.parametrize(
    ("present", "subnet", "refused"),
    [
        ("10.1.2.7/16", "10.1.2.0/24", True),
        ("172.31.0.1/24", "10.1.2.0/24", True),
        ("2001:db8:42::7/48", "2001:db8:42::/64", True),
        ("2001:db8:43::1/64", "2001:db8:42::/64", False),
    ],
    ids=["v4 overlapping", "v4 disjoint", "v6 overlapping", "v6 disjoint"],
)
def test_a_contradicting_gateway_is_refused_or_replaced_and_a_disjoint_ipv6_one_kept(
    real: Runtime, container: Space, present: str, subnet: str, refused: bool
) -> None:
    real.host.network.apply(AddBridge("br0"))
    real.host.network.apply(AddAddress(real.host.index("br0"), ip_interface(present), nodad=True))
    keys: dict[str, Any] = {"ipam": host_local(real, subnet)}
    answer = real.call("ADD", container.path, **keys)
    if refused:
        assert answer["msg"] == f'"br0" already has an IP address different from {gateway_of(subnet)}'
        assert addresses(real.host, "br0") == [present]
        add(real, container, forceAddress=True, **keys)
        assert addresses(real.host, "br0") == [gateway_of(subnet)]
    else:
        assert addresses(real.host, "br0") == [gateway_of(subnet), present]  # newest first


def test_an_existing_bridge_is_reused(real: Runtime, container: Space) -> None:
    real.host.network.apply(AddBridge("br0"))
    before = link(real.host, "br0")
    real.host.run("sh", "-c", "echo 2 > /proc/sys/net/ipv6/conf/br0/accept_ra")
    add(real, container)
    assert real.host.run("cat", "/proc/sys/net/ipv6/conf/br0/accept_ra").strip() == "0"
    after = link(real.host, "br0")
    assert (after.index, after.mac, after.promiscuous) == (before.index, before.mac, 0)


@pytest.mark.parametrize("gateway", [True, False])
def test_the_bridge_keeps_its_mac_whatever_ports_come_and_go(real: Runtime, container: Space, gateway: bool) -> None:
    keys: dict[str, Any] = {"isDefaultGateway": gateway, "isGateway": gateway}
    macs = set()
    for _ in range(3):
        macs.add(add(real, container, **keys)["interfaces"][0]["mac"])
        assert real.call("DEL", container.path, **keys) == {}
        macs.add(link(real.host, "br0").mac)
    assert len(macs) == 1


def test_a_bridge_without_a_live_port_has_the_link_local_address_of_its_mac(real: Runtime, container: Space) -> None:
    add(real, container, ipam=None, isDefaultGateway=False, disableContainerInterface=True)
    bridge = link(real.host, "br0")
    (address,) = real.host.network.addresses(bridge.index)
    first, *_, last = bytes.fromhex(bridge.mac.replace(":", ""))
    assert address.address.ip.is_link_local
    assert (address.address.ip.packed[8], address.address.ip.packed[15]) == (first ^ 2, last)


def test_a_promiscuous_bridge_is_made_so_and_stays_so(real: Runtime, container: Space) -> None:
    add(real, container, promiscMode=True)
    assert link(real.host, "br0").promiscuous == 1
    real.call("DEL", container.path)
    add(real, container)
    assert link(real.host, "br0").promiscuous == 1


def test_a_container_end_left_down_has_no_ipv6_address(real: Runtime, container: Space) -> None:
    add(real, container, ipam=None, isDefaultGateway=False, disableContainerInterface=True)
    end = link(container, "eth0")
    assert (end.up, container.network.addresses(end.index)) == (False, ())


def test_a_container_end_left_down_and_ipam_contradict(real: Runtime, container: Space) -> None:
    answer = real.call("ADD", container.path, disableContainerInterface=True)
    assert "cannot use IPAM when DisableContainerInterface flag is set" in answer["msg"]
    assert (real.veths(), reservations(real)) == ([], [])


def break_masquerade(runtime: Runtime) -> None:
    """Give the reference's chain another type: the last step of ADD is refused."""
    runtime.host.run("nft", "add", "table", "inet", "cni_plugins_masquerade")
    chain = "{ type filter hook postrouting priority 0 ; }"
    runtime.host.run("nft", "add", "chain", "inet", "cni_plugins_masquerade", "postrouting", chain)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_late_failure_gives_the_address_back_and_row_22_the_next_add_works(
    real: Runtime, container: Space, version: str
) -> None:
    break_masquerade(real)
    keys: dict[str, Any] = {"cniVersion": version, "macspoofchk": True, "ipMasqBackend": "nftables"}
    assert real.call("ADD", container.path, ipMasq=True, **keys)["code"] == 100
    assert (reservations(real), real.veths(), container.network.link("eth0")) == ([], [], None)
    assert "cni-br-iface" not in real.host.run("nft", "list", "ruleset")
    assert "code" not in real.call("ADD", container.path, **keys)
    assert len(reservations(real)) == 1


def test_row_18_routes_keep_every_attribute(runtime: Runtime, container: Space) -> None:
    route = {"dst": "192.0.2.0/24", "gw": "10.42.7.9", "mtu": 1300, "advmss": 1200, "priority": 50, "table": 99}
    runtime.ipam_answers(FOUR, routes=(route,))
    assert add(runtime, container, cniVersion="1.1.0")["routes"][0] == route
    (entry,) = container.network.routes(table=99)
    assert (entry.mtu, entry.advmss, entry.priority, str(entry.gateway)) == (1300, 1200, 50, "10.42.7.9")


@pytest.mark.parametrize(
    ("gateways", "dst"), [(("10.42.7.8", "10.42.7.9"), "192.0.2.0/24"), (("fd00::8", "fd00::9"), "2001:db8::/64")]
)
def test_several_gateways_of_one_prefix_are_all_there_and_row_24_pass_check(
    runtime: Runtime, container: Space, gateways: tuple[str, str], dst: str
) -> None:
    runtime.ipam_answers(FOUR, {"address": "fd00::5/64"}, routes=tuple({"dst": dst, "gw": each} for each in gateways))
    result = add(runtime, container)
    entries = [route for route in container.network.routes() if str(route.dst) == dst]
    hops = {str(hop.gateway) for route in entries for hop in route.hops}
    assert hops | {str(route.gateway) for route in entries if route.gateway} == set(gateways)
    assert runtime.call("CHECK", container.path, prevResult=result) == {}


def test_row_24_check_passes_without_ipam_and_with_a_host_prefix(runtime: Runtime, container: Space) -> None:
    keys: dict[str, Any] = {"isDefaultGateway": False, "ipam": {}}
    result = add(runtime, container, **keys)
    assert runtime.call("CHECK", container.path, prevResult=result, **keys) == {}
    assert runtime.call("DEL", container.path, **keys) == {}
    runtime.ipam_answers({"address": "10.42.7.5/32"})
    result = add(runtime, container, isDefaultGateway=False)
    assert runtime.call("CHECK", container.path, isDefaultGateway=False, prevResult=result) == {}


@pytest.mark.parametrize(("keys", "expected"), [({}, "0"), ({"enabledad": True}, "1")])
def test_row_15_addresses_are_detected_twice_only_on_demand(
    runtime: Runtime, container: Space, keys: dict[str, Any], expected: str
) -> None:
    runtime.ipam_answers({"address": "fd00:42::5/64", "gateway": "fd00:42::1"})
    add(runtime, container, **keys)
    assert container.run("cat", "/proc/sys/net/ipv6/conf/eth0/accept_dad").strip() == expected
    assert container.run("cat", "/proc/sys/net/ipv4/conf/eth0/arp_notify").strip() == "1"
    assert not any(entry.tentative for entry in container.network.addresses(container.index("eth0")))
