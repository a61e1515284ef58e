"""Claims about kernel.sysctl that need no root.

- a key outside net/ is refused with EINVAL, whatever it is made of; nothing is opened
- every accepted key stays below /proc/sys/net/
- a parameter the kernel does not have reads as None, one it has as its text
"""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel import sysctl
from kernel.errors import KernelError

OUTSIDE = [
    "",
    "net",
    "net/",
    "/net/ipv4/ip_forward",
    "/etc/passwd",
    "kernel/core_pattern",
    "net/../kernel/core_pattern",
    "net/ipv4/../../kernel/hostname",
    "net/..",
    "net/./ipv4/ip_forward",
    "net//ipv4",
    "net/ipv4/",
    "../net/ipv4/ip_forward",
    "net.ipv4.ip_forward",
    "network/x",
    "NET/ipv4/ip_forward",
    "net/ipv4/ip_forward\0x",
]


@pytest.mark.parametrize("key", OUTSIDE)
def test_a_key_outside_net_is_refused(key: str) -> None:
    with pytest.raises(KernelError, match="a key is a path below") as refused:
        sysctl.path(key)
    assert refused.value.errno == errno.EINVAL


@pytest.mark.parametrize(
    "key", ["net/ipv4/ip_forward", "net/ipv6/conf/eth0.5/accept_ra", "net/ipv4/conf/a..b/forwarding"]
)
def test_a_key_below_net_is_that_file(key: str) -> None:
    assert sysctl.path(key) == f"/proc/sys/{key}"


@given(st.lists(st.sampled_from(["net", "ipv4", "..", ".", "", "conf", "eth0.5", "\0", "a b"]), max_size=7))
def test_no_mix_of_parts_leads_out(parts: list[str]) -> None:
    try:
        path = sysctl.path("/".join(parts))
    except KernelError:
        return
    assert os.path.normpath(path) == path
    assert path.startswith("/proc/sys/net/")


@given(st.text())
def test_no_text_leads_out(text: str) -> None:
    try:
        path = sysctl.path(f"net/{text}")
    except KernelError:
        return
    assert os.path.normpath(path).startswith("/proc/sys/net/")


def test_writing_outside_is_refused_too() -> None:
    with pytest.raises(KernelError, match="locating sysctl"):
        sysctl.write("kernel/hostname", "x")


def test_an_unknown_parameter_reads_as_none() -> None:
    assert sysctl.read("net/ipv4/no_such_parameter") is None
    assert sysctl.read("net/ipv4/ip_forward/deeper") is None


def test_a_known_parameter_reads_as_its_text() -> None:
    assert sysctl.read("net/ipv4/ip_forward") in {"0", "1"}


def test_a_folder_is_a_kernel_error() -> None:
    with pytest.raises(KernelError, match="reading sysctl net/ipv4: Is a directory"):
        sysctl.read("net/ipv4")
