"""Claims about a network that is tried before a host joins it, on a real kernel:

- a store that does not answer, and files for TLS that cannot be used, are told with what to do, in seconds
- a range that an address or a route of this host overlaps is refused with both named; a free one gives the tunnel's port and the hosts
- a host that is in the network by its lease may join it again; a public range is warned of, a loopback one refused
"""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.checks import join
from cli.setup import hosts_file
from cli.setup.hosts_file import Named
from kernel import netns
from overlay.config import settings
from overlay.config.settings import Settings
from overlay.errors import Refused
from tests.netns.spaces import Space, cable

HOSTS = tuple(hosts_file.addresses(["192.0.2.11", "192.0.2.12"], str))
LEASE = "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"


@pytest.fixture
def space(make_space: Callable[[str], Space]) -> Iterator[Space]:
    made, other = make_space("here"), make_space("other")
    cable(made, "eth0=192.0.2.11/24", other, "eth0")
    with netns.inside(made.namespace):
        yield made


def chosen(tmp_path: Path, *words: str) -> Settings:
    return settings.parse([*words, "--subnet-file", str(tmp_path / "subnet.env")], {}, io.StringIO())


def hosts(tmp_path: Path, cidr: str = "10.42.0.0/16", named: tuple[Named, ...] = HOSTS) -> join.Trial:
    text = hosts_file.hosts(cidr, named)
    return join.run(chosen(tmp_path, "--store", f"file:{tmp_path}/hosts.json"), text, ("tulle0",))


def test_a_free_range_gives_the_tunnels_port_and_the_hosts(space: Space, tmp_path: Path) -> None:
    found = hosts(tmp_path)
    assert (found.ports, [str(one) for one in found.hosts], found.warnings) == (
        (8472,),
        ["192.0.2.11", "192.0.2.12"],
        (),
    )


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("ip address add 10.42.5.1/24 dev eth0", "the address 10.42.5.1/24 of eth0"),
        ("ip route add 10.42.9.0/24 via 192.0.2.12", "the route 10.42.9.0/24 via 192.0.2.12 dev eth0"),
        ("ip route add 10.0.0.0/8 via 192.0.2.12", "the route 10.0.0.0/8 via 192.0.2.12 dev eth0"),
    ],
)
def test_a_range_that_is_taken_here_is_refused_with_both_named(
    space: Space, tmp_path: Path, command: str, words: str
) -> None:
    space.run(*command.split())
    with pytest.raises(Refused, match=f"10.42.0.0/16 overlaps {words} on this host; give the network another range"):
        hosts(tmp_path)


def test_a_host_that_is_in_the_network_may_join_it_again(space: Space, tmp_path: Path) -> None:
    space.run("ip", "address", "add", "10.42.1.1/24", "dev", "eth0")
    (tmp_path / "subnet.env").write_text(LEASE)
    assert hosts(tmp_path).ports == (8472,)


def test_a_public_range_is_warned_of_and_a_loopback_one_refused(space: Space, tmp_path: Path) -> None:
    (warning,) = hosts(tmp_path, "8.8.0.0/16").warnings
    assert warning.startswith("8.8.0.0/16 is public range")
    with pytest.raises(Refused, match=r"127.0.0.0/16 is loopback range"):
        hosts(tmp_path, "127.0.0.0/16")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            ("--etcd-endpoints", "http://127.0.0.1:1"),
            "http://127.0.0.1:1: connection refused; start etcd, open the way to it, or correct --etcd",
        ),
        (
            ("--etcd-endpoints", "https://127.0.0.1:1", "--etcd-cafile", "/no/ca.pem"),
            "/no/ca.pem: no usable CA file: .*; correct TULLED_ETCD_CAFILE",
        ),
    ],
)
def test_a_store_that_cannot_be_read_is_told_before_anything_is_written(
    space: Space, tmp_path: Path, words: tuple[str, ...], why: str
) -> None:
    with pytest.raises(Refused, match=why):
        join.run(chosen(tmp_path, *words), "", ())
