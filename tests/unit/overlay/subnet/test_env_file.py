"""Claims: one daemon a lease file, and the second is told who the first is; the file is written only when it says something new;
the previous subnet is read back; what it says follows from config and subnet; withdrawing works twice.
"""

import os
import subprocess
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from overlay.config import network
from overlay.errors import Unavailable
from overlay.subnet import allocation, env_file
from overlay.subnet.env_file import LeaseFile

CONFIG = network.parse('{"Network": "10.42.0.0/16", "Backend": {"Type": "vxlan"}}', "x")
DUAL = network.parse(
    '{"Network": "10.42.0.0/16", "EnableIPv6": true, "IPv6Network": "2001:db8:42::/56", "Backend": {"Type": "vxlan"}}',
    "x",
)
SUBNET = allocation.parse_key("10.42.7.0-24")
CONTENT = env_file.content(CONFIG, SUBNET, mtu=1450, ipmasq=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flannel" / "subnet.env"


def test_a_second_daemon_is_told_who_the_first_is(path: Path) -> None:
    locks = str(path.parent / "locks")
    first = LeaseFile(str(path), folder=locks)
    first.acquire()
    with pytest.raises(Unavailable, match=rf"kept by another tulled \(pid {os.getpid()}: .*--subnet-file"):
        LeaseFile(str(path), folder=locks).acquire()
    LeaseFile(f"{path}.other", folder=locks).acquire()
    first.release()


def test_a_released_file_can_be_had_again(path: Path) -> None:
    for _ in range(2):
        file = LeaseFile(str(path), folder=str(path.parent / "locks"))
        file.acquire()
        file.release()
    assert not path.exists()


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "flannel").write_text("")
    with pytest.raises(Unavailable, match="cannot be made"):
        LeaseFile(str(tmp_path / "flannel" / "subnet.env")).acquire()


def test_without_a_place_for_the_lock_it_is_nobodys(path: Path, tmp_path: Path) -> None:
    (tmp_path / "locks").write_text("")
    with pytest.raises(Unavailable, match=f"no lock can be had in {tmp_path}/locks"):
        LeaseFile(str(path), folder=str(tmp_path / "locks")).acquire()


def test_the_file_is_written_only_when_it_says_something_new(path: Path) -> None:
    file = LeaseFile(str(path))
    assert [file.publish(CONTENT), file.publish(CONTENT)] == [True, False]
    assert file.publish(env_file.content(CONFIG, SUBNET, mtu=1400, ipmasq=True))


def test_the_text_is_flannels(path: Path) -> None:
    LeaseFile(str(path)).publish(
        env_file.content(DUAL, allocation.parse_key("10.42.7.0-24&2001:db8:42:7::-64"), mtu=1450, ipmasq=True)
    )
    assert path.read_text() == (
        "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.7.1/24\n"
        "FLANNEL_IPV6_NETWORK=2001:db8:42::/56\nFLANNEL_IPV6_SUBNET=2001:db8:42:7::1/64\n"
        "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
    )


def test_the_previous_subnet_is_read_back(path: Path) -> None:
    file = LeaseFile(str(path))
    file.publish(CONTENT)
    assert file.previous() == SUBNET
    assert IPv4Network("10.42.7.0/24") == SUBNET.ipv4
    file.publish(
        env_file.content(DUAL, allocation.parse_key("10.42.7.0-24&2001:db8:42:7::-64"), mtu=1450, ipmasq=False)
    )
    previous = file.previous()
    assert previous is not None
    assert previous.ipv6 == IPv6Network("2001:db8:42:7::/64")


@pytest.mark.parametrize("text", [None, "", "FLANNEL_SUBNET=x\n", "\x00"])
def test_an_absent_or_unreadable_file_says_nothing(path: Path, text: str | None) -> None:
    if text is not None:
        path.parent.mkdir()
        path.write_text(text)
    assert LeaseFile(str(path)).previous() is None


def test_an_unreadable_file_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("nonsense")
    assert LeaseFile(str(path)).publish(CONTENT)


def test_withdrawing_works_twice(path: Path) -> None:
    file = LeaseFile(str(path))
    file.publish(CONTENT)
    file.withdraw()
    file.withdraw()
    assert not path.exists()


@pytest.mark.parametrize("words", [("--etcd-password=pst", "-v"), ("-etcd-password", "pst", "-v")])
def test_a_holders_password_is_not_repeated(words: tuple[str, ...]) -> None:
    job = subprocess.Popen(
        ["/bin/sh", "-c", "echo; read line", "tulled", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert job.stdout is not None
    job.stdout.readline()
    said = env_file._command(str(job.pid))
    job.communicate()
    assert "pst" not in said
    assert said.endswith("*** -v")
