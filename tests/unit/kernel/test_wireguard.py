"""Claims: what `wg show dump` prints is read whatever is absent; the configuration says all of it, IPv6 endpoints in brackets; keys
are in no representation.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from kernel import wireguard
from kernel.wireguard import Peer, Settings

DUMP = (
    "PRIVATE\tPUBLIC\t51820\toff\n"
    "KEY2\t(none)\t192.0.2.2:51820\t10.42.2.0/24\t0\t0\t0\toff\n"
    "KEY3\tSHARED\t[2001:db8::3]:51821\t10.42.3.0/24,fd00:42:0:3::/64\t0\t0\t0\t25\n"
    "KEY4\t(none)\t(none)\t(none)\t0\t0\t0\toff\n"
)
SETTINGS = Settings(
    "PRIVATE",
    51820,
    frozenset(
        {
            Peer("KEY2", (IPv4Address("192.0.2.2"), 51820), frozenset({IPv4Network("10.42.2.0/24")})),
            Peer(
                "KEY3",
                (IPv6Address("2001:db8::3"), 51821),
                frozenset({IPv4Network("10.42.3.0/24"), IPv6Network("fd00:42:0:3::/64")}),
                25,
                "SHARED",
            ),
            Peer("KEY4", None, frozenset()),
        }
    ),
)


def test_a_dump_is_read_whatever_is_absent() -> None:
    assert wireguard.parse(DUMP) == SETTINGS


def test_a_new_device_has_no_key_and_no_peer() -> None:
    assert wireguard.parse("(none)\t(none)\t0\toff\n") == Settings("", 0, frozenset())


def test_the_configuration_says_all_of_it() -> None:
    assert wireguard.text(SETTINGS).splitlines() == [
        "[Interface]",
        "PrivateKey = PRIVATE",
        "ListenPort = 51820",
        "[Peer]",
        "PublicKey = KEY2",
        "PersistentKeepalive = off",
        "AllowedIPs = 10.42.2.0/24",
        "Endpoint = 192.0.2.2:51820",
        "[Peer]",
        "PublicKey = KEY3",
        "PersistentKeepalive = 25",
        "AllowedIPs = 10.42.3.0/24, fd00:42:0:3::/64",
        "PresharedKey = SHARED",
        "Endpoint = [2001:db8::3]:51821",
        "[Peer]",
        "PublicKey = KEY4",
        "PersistentKeepalive = off",
    ]


def test_keys_are_in_no_representation() -> None:
    assert "PRIVATE" not in repr(SETTINGS)
    assert "SHARED" not in repr(SETTINGS)
