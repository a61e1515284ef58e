"""Claims: keys meet their prefix as Go's path.Join has it; the range of leases is flannel's; endpoints are read or refused with what to
write.
"""

from ipaddress import IPv4Network, IPv6Network

import pytest

from overlay.stores.etcd import keys as etcd_names
from overlay.stores.etcd.keys import Endpoint, Keys
from overlay.subnet.allocation import Subnet

DUAL = Subnet(IPv4Network("10.5.9.0/24"), IPv6Network("fd00:12:13::/56"))


@pytest.mark.parametrize(
    ("prefix", "key"),
    [
        ("/coreos.com/network", "/coreos.com/network/config"),
        ("/coreos.com/network/", "/coreos.com/network/config"),
        ("//coreos.com//network", "/coreos.com/network/config"),
        ("///a", "/a/config"),
        ("a/b", "a/b/config"),
        ("/a/./b/../c", "/a/c/config"),
        ("/../a", "/a/config"),
        ("/", "/config"),
        ("", "config"),
        ("../a", "../a/config"),
    ],
)
def test_a_key_is_joined_as_go_joins_paths(prefix: str, key: str) -> None:
    assert Keys.below(prefix).config == key.encode()


def test_nothing_joined_is_nothing() -> None:
    assert etcd_names.join("", "") == ""


def test_the_keys_of_leases_are_flannels() -> None:
    keys = Keys.below("/coreos.com/network")
    assert (keys.subnets, keys.subnets_end) == (b"/coreos.com/network/subnets", b"/coreos.com/network/subnett")
    assert keys.lease(DUAL) == b"/coreos.com/network/subnets/10.5.9.0-24&fd00:12:13::-56"
    assert keys.base(DUAL) == b"/coreos.com/network/subnets/10.5.9.0-"
    assert keys.name(keys.lease(DUAL)) == DUAL.key


@pytest.mark.parametrize("key", [b"/p/subnets", b"/p/subnets-x", b"/p/config"])
def test_a_key_beside_the_folder_has_no_name(key: bytes) -> None:
    assert Keys.below("/p").name(key) is None


@pytest.mark.parametrize(
    ("text", "endpoints"),
    [
        ("http://127.0.0.1:2379", [Endpoint("127.0.0.1", 2379, tls=False)]),
        (
            "https://etcd-1.example, http://b:1/",
            [Endpoint("etcd-1.example", 2379, tls=True), Endpoint("b", 1, tls=False)],
        ),
        ("192.0.2.1:4001", [Endpoint("192.0.2.1", 4001, tls=False)]),
        ("https://[fd00::1]:2379", [Endpoint("fd00::1", 2379, tls=True)]),
    ],
)
def test_endpoints_are_read(text: str, endpoints: list[Endpoint]) -> None:
    assert list(etcd_names.endpoints(text)) == endpoints


@pytest.mark.parametrize(
    "text",
    ["", "http://", "ftp://a", "http://a:99999", "http://a:0", "http://u:p@a", "http://a/b", "http://a,", "http://a b"],
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write URLs like http://192\.0\.2\.1:2379"):
        etcd_names.endpoints(text)


def test_an_endpoint_prints_as_a_url() -> None:
    assert [str(one) for one in etcd_names.endpoints("https://[fd00::1],a")] == [
        "https://[fd00::1]:2379",
        "http://a:2379",
    ]
