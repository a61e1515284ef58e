"""Claims: a backend is found by its name; an unknown name is refused with the names there are."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from overlay.backends import Underlay, registry
from overlay.config import network
from overlay.errors import Refused
from overlay.stores.file import Host
from overlay.subnet.allocation import Subnet

ME = Underlay("eth0", 1500, IPv4Address("192.0.2.1"))
CONFIG = network.parse('{"Network": "10.42.0.0/16", "Backend": {"Type": "vxlan"}}', "x")


@pytest.mark.parametrize("kind", ["ipip", "nonsense"])
def test_an_unknown_backend_is_refused_with_the_names_there_are(kind: str) -> None:
    config = network.parse(f'{{"Network": "10.42.0.0/16", "Backend": {{"Type": "{kind}"}}}}', "net.json")
    with pytest.raises(Refused, match=f'Backend.Type is "{kind}": not a backend of this version; choose one of: vxlan'):
        registry.build(config, ME, {})


def test_a_host_of_a_hosts_file_publishes_what_its_own_daemon_would() -> None:
    host = Host(ME.public_ip, None, Subnet(IPv4Network("10.42.1.0/24")))
    assert registry.derive(CONFIG, host) == registry.build(CONFIG, ME, {}).attributes(host.subnet)


@pytest.mark.parametrize("kind", [one for one in registry.TYPES if one != "wireguard"])
def test_a_host_of_a_hosts_file_publishes_what_its_own_daemon_would_with_every_backend(kind: str) -> None:
    config = network.parse(f'{{"Network": "10.42.0.0/16", "Backend": {{"Type": "{kind}"}}}}', "x")
    host = Host(ME.public_ip, None, Subnet(IPv4Network("10.42.1.0/24")))
    assert registry.derive(config, host) == registry.build(config, ME, {}).attributes(host.subnet)


def test_a_hosts_file_cannot_tell_wireguards_keys() -> None:
    config = network.parse('{"Network": "10.42.0.0/16", "Backend": {"Type": "wireguard"}}', "x")
    with pytest.raises(Refused, match="hosts must exchange their keys"):
        registry.derive(config, Host(ME.public_ip, None, Subnet(IPv4Network("10.42.1.0/24"))))


def test_a_backend_without_a_vxlan_device_keeps_no_mac() -> None:
    config = network.parse('{"Network": "10.42.0.0/16", "Backend": {"Type": "host-gw"}}', "x")
    assert registry.devices(config, ME) == ()


def test_the_devices_are_known_before_there_is_a_lease() -> None:
    assert [device.name for device in registry.devices(CONFIG, ME)] == ["flannel.1"]
