"""Claims about the backends there are:

- each is found by its name; an unknown name is refused with the names there are
- a hosts file gives a host what its own daemon would publish, but for WireGuard's keys
- one that is entered is known everywhere: its options are judged and misspelled ones found, two of its networks that cannot live together
  are refused, its device is not in the way of its network, and its leases count as peers
- nothing in the daemon or the commands says a backend's name or device, but for the places that are listed here with their reasons
"""

import ast
import json
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, ip_interface

import pytest

from build.programs import ROOT
from cli.linting import keys
from kernel.netlink.objects import Address, Link
from overlay.backends import Underlay, registry
from overlay.config import network, ranges
from overlay.datapath.conflicts import ConflictChecker
from overlay.errors import Refused
from overlay.subnet.allocation import Subnet
from tests.lab import pretend_backend

OWN = Subnet(IPv4Network("10.42.1.0/24"))
ME = Underlay("eth0", 1500, IPv4Address("192.0.2.1"))
CONFIG = network.parse('{"Network": "10.42.0.0/16", "Backend": {"Type": "vxlan"}}', "x")


@pytest.mark.parametrize("kind", ["ipip", "nonsense"])
def test_an_unknown_backend_is_refused_with_the_names_there_are(kind: str) -> None:
    config = network.parse(f'{{"Network": "10.42.0.0/16", "Backend": {{"Type": "{kind}"}}}}', "net.json")
    with pytest.raises(Refused, match=f'Backend.Type is "{kind}": not a backend of this version; choose one of: vxlan'):
        registry.build(config, ME, {})


def test_a_host_of_a_hosts_file_publishes_what_its_own_daemon_would() -> None:
    assert registry.derive(CONFIG, OWN, ME.public_ip, None) == registry.build(CONFIG, ME, {}).attributes(OWN)


@pytest.mark.parametrize("kind", [one for one in registry.ENTRIES if one != "wireguard"])
def test_a_host_of_a_hosts_file_publishes_what_its_own_daemon_would_with_every_backend(kind: str) -> None:
    config = network.parse(f'{{"Network": "10.42.0.0/16", "Backend": {{"Type": "{kind}"}}}}', "x")
    assert registry.derive(config, OWN, ME.public_ip, None) == registry.build(config, ME, {}).attributes(OWN)


def test_a_hosts_file_cannot_tell_wireguards_keys() -> None:
    config = network.parse('{"Network": "10.42.0.0/16", "Backend": {"Type": "wireguard"}}', "x")
    with pytest.raises(Refused, match="hosts must exchange their keys"):
        registry.derive(config, OWN, ME.public_ip, None)


def test_a_backend_without_a_vxlan_device_keeps_no_mac() -> None:
    config = network.parse('{"Network": "10.42.0.0/16", "Backend": {"Type": "host-gw"}}', "x")
    assert registry.require_known(config).devices(config, ME) == ()


def test_the_devices_are_known_before_there_is_a_lease() -> None:
    assert [device.name for device in registry.require_known(CONFIG).devices(CONFIG, ME)] == ["flannel.1"]


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter a backend that nothing but its own file knows."""
    monkeypatch.setitem(registry.ENTRIES, pretend_backend.TYPE, pretend_backend.ENTRY)


def pretended(net: str = "10.42.0.0/16", **backend: str) -> network.NetworkConfig:
    return network.parse(json.dumps({"Network": net, "Backend": {"Type": "pretend", **backend}}), "net.json")


@pytest.mark.usefixtures("entered")
def test_the_options_of_an_entered_backend_are_judged() -> None:
    with pytest.raises(Refused, match=r'Backend\.Colour is "mauve": no colour there is; choose one of: red, blue'):
        registry.require_known(pretended(Colour="mauve"))


@pytest.mark.usefixtures("entered")
def test_a_misspelled_option_of_an_entered_backend_is_found() -> None:
    document = {"Network": "10.42.0.0/16", "Backend": {"Type": "pretend", "Color": "blue"}}
    assert [(found.place, found.remedy) for found in keys.of_network(document)] == [
        (("Backend", "Color"), 'did you mean "Colour"?')
    ]


@pytest.mark.usefixtures("entered")
def test_two_networks_of_an_entered_backend_cannot_have_its_device() -> None:
    checker, entry = ConflictChecker(), registry.require_known(pretended())
    checker.enter("/red", entry.resources(pretended()))
    with pytest.raises(Refused, match=r"^/blue: /blue and /red both have the device pretend0; give one"):
        checker.enter("/blue", entry.resources(pretended("10.43.0.0/16")))


def test_the_device_of_an_entered_backend_is_in_no_ones_way(monkeypatch: pytest.MonkeyPatch) -> None:
    links, held = [Link(1, "pretend0")], [Address(1, ip_interface("10.42.1.0/32"))]
    before = list(ranges.overlaps(IPv4Network("10.42.0.0/16"), links, held, []))
    monkeypatch.setitem(registry.ENTRIES, pretend_backend.TYPE, pretend_backend.ENTRY)
    after = list(ranges.overlaps(IPv4Network("10.42.0.0/16"), links, held, []))
    assert (before, after) == (["the address 10.42.1.0/32 of pretend0"], [])


@pytest.mark.parametrize("kind", registry.ENTRIES)
def test_the_devices_a_backend_takes_are_known_as_its_own(kind: str) -> None:
    config = network.parse(f'{{"Network": "10.42.0.0/16", "Backend": {{"Type": "{kind}"}}}}', "x")
    taken = registry.require_known(config).resources(config).devices
    assert [name for name in taken if not registry.is_own_device(name)] == []
    assert not registry.is_own_device("eth0")


@pytest.mark.parametrize(("kind", "types"), [("vxlan", {"vxlan"}), ("udp", {"udp", ""}), ("alloc", {"alloc", ""})])
def test_leases_without_a_type_are_those_of_two_backends(kind: str, types: set[str]) -> None:
    assert registry.ENTRIES[kind].lease_types == types


def test_the_forwarder_of_an_earlier_backend_is_to_be_stopped_by_all_others() -> None:
    assert {kind: registry.forwarders(but=kind) for kind in registry.ENTRIES} == {
        kind: () if kind == "udp" else ("flannel0",) for kind in registry.ENTRIES
    }


EXCEPTIONS = {
    ("overlay/datapath/cleanup.py", "vxlan"): "the kernel's word for a kind of link (IFLA_INFO_KIND)",
    ("overlay/datapath/cleanup.py", "wireguard"): "the kernel's word for a kind of link (IFLA_INFO_KIND)",
    ("overlay/datapath/diff.py", "vxlan"): "the kernel's word for a kind of link (IFLA_INFO_KIND)",
    ("overlay/firewall/tunnel_filter.py", "vxlan"): "AllowedPeers.form: how the inner packet lies in the datagram",
}
"""Where a word that is also a backend's stands for something else, and for what."""


def said(text: str) -> Iterator[str]:
    """Yield the names and devices of backends that a module has as whole strings, and what it reads of a backend's module."""
    entries = registry.ENTRIES.values()
    named = {
        word for one in entries for word in (one.type, one.key_device, one.forwarder, *one.device_prefixes) if word
    }
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Constant(value=str(word)) if word in named:
                yield word
            case ast.Attribute(value=ast.Name(id=module), attr="TYPE" | "DEVICE" | "DEVICE_V6" as constant):
                yield f"{module}.{constant}"


def test_no_backend_is_named_outside_its_own_file() -> None:
    files = [
        file
        for folder in ("agent", "build", "cli", "driver", "lease", "overlay")
        for file in (ROOT / folder).rglob("*.py")
        if file.parent != ROOT / "overlay" / "backends"
    ]
    found = {(str(file.relative_to(ROOT)), word) for file in files for word in said(file.read_text(encoding="utf-8"))}
    assert len(files) > 100
    assert found == set(EXCEPTIONS)


def test_a_comparison_with_a_backends_name_would_be_found() -> None:
    text = (
        'a = kind == "host-gw"\nmatch kind:\n    case "alloc": pass\nb = kind in (udp.TYPE, "vxlan")\nc = "a vxlan one"'
    )
    assert set(said(text)) == {"host-gw", "alloc", "udp.TYPE", "vxlan"}
