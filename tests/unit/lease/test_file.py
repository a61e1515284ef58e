"""The lease file.

Claims: what is written is flannel's text byte for byte and reads back as the same lease; the reader forgives form (quotes,
export, comments, CR LF) and no value; whatever a hostile file holds, only Unavailable comes out, with the line and a remedy;
a write is seen whole or not at all, readable by all, and leaves nothing beside the file.
"""

import os
import stat
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lease import file
from lease.file import Lease, Unavailable

DUAL = Lease(
    networks=(IPv4Network("10.42.0.0/16"),),
    subnet=IPv4Interface("10.42.7.1/24"),
    ipv6_networks=(IPv6Network("2001:db8:42::/56"),),
    ipv6_subnet=IPv6Interface("2001:db8:42:7::1/64"),
    mtu=1450,
    ipmasq=True,
)
DUAL_TEXT = """\
FLANNEL_NETWORK=10.42.0.0/16
FLANNEL_SUBNET=10.42.7.1/24
FLANNEL_IPV6_NETWORK=2001:db8:42::/56
FLANNEL_IPV6_SUBNET=2001:db8:42:7::1/64
FLANNEL_MTU=1450
FLANNEL_IPMASQ=true
"""
V4_TEXT = "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n"
V4 = file.parse(V4_TEXT)


@pytest.fixture
def private_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_text_is_flannels_byte_for_byte() -> None:
    assert file.render(DUAL) == DUAL_TEXT


def test_a_family_that_is_absent_has_no_lines() -> None:
    assert file.render(V4) == V4_TEXT


def test_subnets_and_gateways_come_in_step_v4_first() -> None:
    assert DUAL.gateways == (IPv4Address("10.42.7.1"), IPv6Address("2001:db8:42:7::1"))
    assert DUAL.subnets == (IPv4Network("10.42.7.0/24"), IPv6Network("2001:db8:42:7::/64"))


def test_key_names_the_v4_subnet() -> None:
    assert DUAL.key == "10.42.7.0-24"


def test_key_names_the_v6_subnet_when_there_is_no_other() -> None:
    lease = Lease((), None, (IPv6Network("fd00::/56"),), IPv6Interface("fd00::1/64"), 1430, ipmasq=False)
    assert lease.key == "fd00::-64"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(V4_TEXT.replace("\n", "\r\n"), id="CR LF"),
        pytest.param(V4_TEXT.removesuffix("\n"), id="no last line end"),
        pytest.param("# by hand\n\n" + V4_TEXT, id="comment and blank line"),
        pytest.param("export " + V4_TEXT.replace("\n", "\nexport ", 3), id="export"),
        pytest.param(V4_TEXT.replace("=10.42.1.1/24", '="10.42.1.1/24" # mine'), id="double quotes, then comment"),
        pytest.param(V4_TEXT.replace("=1450", "='1450'"), id="single quotes"),
        pytest.param(V4_TEXT.replace("=1450", "=1450\t# bytes"), id="comment behind a value"),
        pytest.param("HTTP_PROXY=x\n" + V4_TEXT, id="unknown key"),
        pytest.param("FLANNEL_MTU=9000\n" + V4_TEXT, id="repeated key, the last one counts"),
        pytest.param(V4_TEXT.replace("0.0/16", "0.0/16,10.42.0.0/16"), id="network listed twice"),
        pytest.param(V4_TEXT.replace("10.42.0.0/16", "10.42.9.9/16"), id="host bits in the network"),
    ],
)
def test_form_is_forgiven(text: str) -> None:
    assert file.parse(text) == V4


def test_networks_are_a_comma_list() -> None:
    lease = file.parse(V4_TEXT.replace("10.42.0.0/16", "10.41.0.0/16,10.42.0.0/16"))
    assert lease.networks == (IPv4Network("10.41.0.0/16"), IPv4Network("10.42.0.0/16"))


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ("10.42.1.1/24", "10.42.1.1", "line 2: FLANNEL_SUBNET is '10.42.1.1': expected ADDRESS/LENGTH"),
        ("10.42.1.1/24", "10.42.1.1/255.255.255.0", "line 2"),
        ("10.42.1.1/24", "10.42.1.1/024", "line 2"),
        ("10.42.1.1/24", "10.42.01.1/24", "line 2"),
        ("10.42.1.1/24", "10.42.1.1/33", "line 2"),
        ("10.42.1.1/24", "fd00::1/64", "line 2"),
        ("10.42.1.1/24", "10.42.1.0/24", "expected the gateway's address, like 10.42.1.1/24"),
        ("10.42.1.1/24", "10.42.1.255/24", "expected the gateway's address"),
        ("10.42.1.1/24", "10.42.1.1/31", "no room for containers"),
        ("10.42.1.1/24", "10.43.1.1/24", "outside FLANNEL_NETWORK 10.42.0.0/16"),
        ("10.42.1.1/24", "10.0.0.1/8", "outside FLANNEL_NETWORK"),
        ("10.42.1.1/24", '"10.42.1.1/24', "line 2 has an unbalanced"),
        ("10.42.1.1/24", '"10.42.1.1/24" more', "line 2 has an unbalanced"),
        ("10.42.0.0/16", "10.42.0.0/16,", "line 1: FLANNEL_NETWORK"),
        ("1450", "-50", "line 3: FLANNEL_MTU is '-50': expected a number"),
        ("1450", "", "line 3: FLANNEL_MTU is ''"),
        ("1450", "67", "FLANNEL_MTU is 67, expected a number from 68 to 65535"),
        ("1450", "65536", "FLANNEL_MTU is 65536"),
        ("1450", "١٤٥٠", "line 3"),
        ("1450", "9" * 5000, "line 3"),
        ("false", "False", "line 4: FLANNEL_IPMASQ is 'False': expected true or false"),
        ("=false", "", "line 4 is no KEY=VALUE: 'FLANNEL_IPMASQ'"),
        ("FLANNEL_MTU=1450", "", "it is missing FLANNEL_MTU"),
        ("FLANNEL_SUBNET=10.42.1.1/24", "", "it is missing FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET"),
        ("FLANNEL_NETWORK=10.42.0.0/16", "", "it is missing FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK"),
        (
            "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.1.1/24",
            "",
            "it is missing FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK, FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET",
        ),
    ],
)
def test_no_value_is_forgiven(was: str, becomes: str, complaint: str) -> None:
    with pytest.raises(Unavailable) as refusal:
        file.parse(V4_TEXT.replace(was, becomes, 1), "/run/lease")
    assert complaint in refusal.value.reason
    assert str(refusal.value).startswith("lease file /run/lease: ")


@pytest.mark.parametrize(
    "subnet", ["fe80::1%eth0/64", "::ffff:10.0.0.1/112", "10.42.1.1/24", "fd00::/64", "fd00::1/127"]
)
def test_no_odd_v6_subnet_is_forgiven(subnet: str) -> None:
    with pytest.raises(Unavailable, match="IPV6_SUBNET"):
        file.parse(f"{V4_TEXT}FLANNEL_IPV6_NETWORK=::/0\nFLANNEL_IPV6_SUBNET={subnet}\n")


@given(st.text())
def test_any_text_is_a_lease_or_unavailable(text: str) -> None:
    with pytest.raises(Unavailable):
        file.parse(text)


@given(
    st.lists(st.sampled_from(DUAL_TEXT.splitlines()) | st.text(max_size=30)), st.sampled_from(["\n", "\r\n", "\0", "="])
)
def test_any_shuffle_is_a_lease_or_unavailable(lines: list[str], end: str) -> None:
    try:
        outcome = str(file.parse(end.join(lines)).mtu)
    except Unavailable as refusal:
        outcome = str(refusal)
    assert outcome == "1450" or (outcome.startswith("lease file ") and "\n" not in outcome)


def test_absent_file_says_where_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="there is none; run tulle join; where that was done") as refusal:
        file.read(str(tmp_path / "subnet.env"))
    assert refusal.value.path == str(tmp_path / "subnet.env")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 70_000, V4_TEXT.encode() + b"\n\xe9="])
def test_content_that_is_no_text_is_unavailable(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "subnet.env").write_bytes(content)
    with pytest.raises(Unavailable, match=r"not UTF-8|larger than"):
        file.read(str(tmp_path / "subnet.env"))


def test_a_directory_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no regular file"):
        file.read(str(tmp_path))


def test_a_fifo_without_a_writer_does_not_hang_the_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "subnet.env")
    with pytest.raises(Unavailable, match="no regular file"):
        file.read(str(tmp_path / "subnet.env"))


@pytest.mark.parametrize("path", ["/proc/self/mem/subnet.env", "bad\0path", "/" + "x" * 300])
def test_a_path_the_kernel_refuses_is_unavailable(path: str) -> None:
    with pytest.raises(Unavailable):
        file.read(path)


V4_FAMILIES = st.builds(
    lambda base, length, shorter, host: _family(IPv4Interface((base, length)), shorter, host),
    st.integers(0, 2**32 - 1),
    st.integers(1, 30),
    st.integers(0, 30),
    st.integers(1, 2**32),
)
V6_FAMILIES = st.builds(
    lambda base, length, shorter, host: _family(IPv6Interface((base, length)), shorter, host),
    st.integers(2**125, 2**128 - 1),
    st.integers(3, 126),
    st.integers(0, 126),
    st.integers(1, 2**128),
)
ABSENT = st.just(((), None))
LEASES = st.builds(
    lambda families, mtu, masq: Lease(families[0][0], families[0][1], families[1][0], families[1][1], mtu, ipmasq=masq),
    st.one_of(st.tuples(V4_FAMILIES, V6_FAMILIES), st.tuples(V4_FAMILIES, ABSENT), st.tuples(ABSENT, V6_FAMILIES)),
    st.integers(68, 65535),
    st.booleans(),
)


def _family(somewhere: IPv4Interface | IPv6Interface, shorter: int, host: int) -> tuple[Any, Any]:
    """Return a network and the gateway of one of its subnets, as Lease keeps them."""
    own = somewhere.network
    gateway = own[1 + host % (own.num_addresses - 2)]
    return (own.supernet(new_prefix=min(own.prefixlen, shorter)),), type(somewhere)((int(gateway), own.prefixlen))


@given(LEASES)
def test_every_lease_reads_back_as_it_was_written(lease: Lease) -> None:
    assert file.parse(file.render(lease)) == lease


def test_written_file_reads_back_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    file.write(str(tmp_path / "run" / "flannel" / "subnet.env"), DUAL)
    assert file.read(str(tmp_path / "run" / "flannel" / "subnet.env")) == DUAL
    assert [entry.name for entry in (tmp_path / "run" / "flannel").iterdir()] == ["subnet.env"]


@pytest.mark.usefixtures("private_umask")
def test_new_file_is_readable_by_all_whatever_the_umask(tmp_path: Path) -> None:
    file.write(str(tmp_path / "subnet.env"), V4)
    assert stat.S_IMODE((tmp_path / "subnet.env").stat().st_mode) == 0o644


def test_permissions_of_a_replaced_file_stay(tmp_path: Path) -> None:
    (tmp_path / "subnet.env").touch()
    (tmp_path / "subnet.env").chmod(0o640)
    file.write(str(tmp_path / "subnet.env"), V4)
    assert stat.S_IMODE((tmp_path / "subnet.env").stat().st_mode) == 0o640


def test_missing_parents_are_0755(tmp_path: Path) -> None:
    file.write(str(tmp_path / "run" / "subnet.env"), V4)
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o755


def test_refused_rename_leaves_the_old_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "subnet.env").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        file.write(str(tmp_path / "subnet.env"), V4)
    assert [entry.name for entry in tmp_path.iterdir()] == ["subnet.env"]
