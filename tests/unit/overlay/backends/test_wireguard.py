"""Claims: wireguard publishes key and port, byte for byte (docs/reference/flannel.md 2.2); each mode has the devices, peers and endpoints of
5.5; a peer without a key of its own is left out; impossible options are refused, the PSK unseen.
"""

import base64
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

import pytest

from overlay.backends import L3Device, Underlay, WireguardConfig, WireguardPeer, registry, wireguard
from overlay.config import network
from overlay.errors import Refused, Unavailable
from overlay.subnet import allocation, attributes
from overlay.subnet.attributes import Attributes
from overlay.subnet.lease import Lease

ME = Underlay("eth0", 1500, IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1"))
V6 = '"EnableIPv6": true, "IPv6Network": "fd00:42::/48",'
KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in range(4)]
FOUR, SIX = "10.42.1.0-24", "10.42.1.0-24&fd00:42:0:1::-64"


def config(backend: str = "", more: str = "") -> network.NetworkConfig:
    return network.parse(f'{{"Network": "10.42.0.0/16", {more} "Backend": {{"Type": "wireguard"{backend}}}}}', "x")


def build(backend: str = "", more: str = "", underlay: Underlay = ME) -> wireguard.Wireguard:
    made = registry.build(config(backend, more), underlay, {"flannel-wg": KEYS[1]})
    assert isinstance(made, wireguard.Wireguard)
    return made


def peer(number: int = 2, *, port: int = 51820, public: str = "192.0.2.2", six: str = "2001:db8::2") -> Lease:
    key = f"10.42.{number}.0-24&fd00:42:0:{number}::-64"
    data = f'{{"PublicKey":"{KEYS[number]}","Port":{port}}}'
    v6 = f'{{"PublicKey":"{KEYS[number]}","Port":{port + 1}}}'
    values = Attributes(IPv4Address(public), IPv6Address(six) if six else None, "wireguard", data, v6)
    return Lease(allocation.parse_key(key), values)


def pipes(
    backend: str = "", more: str = "", peers: tuple[Lease, ...] = (), underlay: Underlay = ME
) -> tuple[L3Device, ...]:
    made, subnet = build(backend, more, underlay), allocation.parse_key(SIX if more else FOUR)
    return made.desired(Lease(subnet, made.attributes(subnet)), peers).pipes


def endpoint(backend: str, other: Lease, underlay: Underlay = ME) -> tuple[str, int]:
    (only,) = pipes(backend, V6, (other,), underlay)
    assert isinstance(only.carrier, WireguardConfig)
    ((address, port),) = [one.endpoint for one in only.carrier.peers]
    return str(address), port


@pytest.mark.parametrize(
    ("key", "tail"),
    [(FOUR, ""), (SIX, f',"BackendV6Data":{{"PublicKey":"{KEYS[1]}","Port":51821}}')],
)
def test_the_value_is_key_and_port(key: str, tail: str) -> None:
    head = '{"PublicIP":"192.0.2.1","PublicIPv6":"2001:db8::1","BackendType":"wireguard",'
    data = f'"BackendData":{{"PublicKey":"{KEYS[1]}","Port":51820}}'
    assert attributes.encode(build().attributes(allocation.parse_key(key))) == head + data + tail + "}"


def test_one_device_publishes_the_port_it_listens_on_for_both_families() -> None:
    assert '"Port":51820' in build(', "Mode": "auto"').attributes(allocation.parse_key(SIX)).backend_v6_data


def test_separate_has_a_device_a_family() -> None:
    four, six = IPv4Network("10.42.2.0/24"), IPv6Network("fd00:42:0:2::/64")
    psk = KEYS[0]
    assert pipes(f', "PSK": "{psk}", "PersistentKeepaliveInterval": 25', V6, (peer(),)) == (
        L3Device(
            name="flannel-wg",
            mtu=1420,
            addresses=(IPv4Interface("10.42.1.0/32"),),
            networks=(IPv4Network("10.42.0.0/16"),),
            carrier=WireguardConfig(
                51820,
                frozenset({WireguardPeer(KEYS[2], (IPv4Address("192.0.2.2"), 51820), frozenset({four}), 25, psk)}),
            ),
        ),
        L3Device(
            name="flannel-wg-v6",
            mtu=1420,
            addresses=(IPv6Interface("fd00:42:0:1::/128"),),
            networks=(IPv6Network("fd00:42::/48"),),
            carrier=WireguardConfig(
                51821,
                frozenset({WireguardPeer(KEYS[2], (IPv6Address("2001:db8::2"), 51821), frozenset({six}), 25, psk)}),
            ),
        ),
    )


def test_ipv4_alone_has_one_device() -> None:
    assert [one.name for one in pipes()] == ["flannel-wg"]


def test_one_device_carries_both_families_in_the_other_modes() -> None:
    (only,) = pipes(', "Mode": "ipv6"', V6, (peer(),))
    assert (only.name, len(only.addresses), len(only.networks)) == ("flannel-wg", 2, 2)


@pytest.mark.parametrize(
    ("mode", "other", "chosen"),
    [
        ("ipv4", peer(), ("192.0.2.2", 51820)),
        ("ipv6", peer(), ("2001:db8::2", 51821)),
        ("auto", peer(public="8.8.8.8"), ("8.8.8.8", 51820)),
        ("auto", peer(public="10.0.0.2"), ("2001:db8::2", 51821)),
        ("auto", peer(public="10.0.0.2", six="fd99::2"), ("10.0.0.2", 51820)),
        ("auto", peer(six=""), ("192.0.2.2", 51820)),
        ("auto", peer(public="192.168.9.2"), ("2001:db8::2", 51821)),
        ("auto", peer(public="100.64.0.2"), ("100.64.0.2", 51820)),
        ("auto", peer(public="172.32.0.2"), ("172.32.0.2", 51820)),
        ("ipv4", peer(port=0), ("192.0.2.2", 51820)),
    ],
)
def test_a_mode_chooses_the_address_it_sends_to(mode: str, other: Lease, chosen: tuple[str, int]) -> None:
    assert endpoint(f', "Mode": "{mode}"', other) == chosen


ONE_FAMILY = Lease(allocation.parse_key("10.42.2.0-24"), replace(peer(2, six="").attributes, backend_v6_data=""))


@pytest.mark.parametrize(("mode", "devices"), [("separate", [1, 0]), ("auto", [1]), ("ipv4", [1]), ("ipv6", [0])])
def test_a_peer_of_one_family_is_reached_where_it_can_be(mode: str, devices: list[int]) -> None:
    made = build(f', "Mode": "{mode}"', V6)
    desired = made.desired(Lease(allocation.parse_key(SIX), made.attributes(allocation.parse_key(SIX))), [ONE_FAMILY])
    assert [len(pipe.carrier.peers) for pipe in desired.pipes if isinstance(pipe.carrier, WireguardConfig)] == devices
    assert ("no PublicIPv6" in str(desired.unusable)) is (mode == "ipv6")


def test_a_peer_without_a_key_of_its_own_is_left_out() -> None:
    made, subnet = build(), allocation.parse_key(FOUR)
    keyless = replace(peer(2), attributes=replace(peer(2).attributes, backend_data='{"PublicKey":"x"}'))
    ours = replace(peer(3), attributes=replace(peer(3).attributes, backend_data=f'{{"PublicKey":"{KEYS[1]}"}}'))
    desired = made.desired(Lease(subnet, made.attributes(subnet)), [keyless, ours])
    assert ["no usable PublicKey" in desired.unusable[0], "also that of 10.42.1.0/24" in desired.unusable[1]] == [
        True
    ] * 2


@pytest.mark.parametrize(
    ("backend", "more", "problem"),
    [
        (', "Mode": "IPv4"', "", "no valid Mode"),
        (', "Mode": ""', "", "no valid Mode"),
        (', "PSK": "hush"', "", "PSK is no key"),
        (', "ListenPort": 0', "", "ListenPort"),
        (', "ListenPort": 51821', V6, "ListenPortV6"),
        (', "MTU": 100', "", "Backend.MTU is 100: too little"),
    ],
)
def test_impossible_options_are_refused(backend: str, more: str, problem: str) -> None:
    with pytest.raises(Refused, match=problem) as refused:
        build(backend, more)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(("backend", "more"), [("", V6), (', "Mode": "ipv6"', "")])
def test_an_ipv6_tunnel_needs_an_ipv6_underlay(backend: str, more: str) -> None:
    with pytest.raises(Unavailable, match="eth0 has no IPv6 address"):
        build(backend, more, replace(ME, public_ipv6=None))
