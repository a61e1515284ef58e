"""Claims about kernel.sysctl inside namespaces.

- what is written in one namespace is read there and nowhere else, and the process stays at home
- link names with dots work
- `ensure` writes only what differs
- what the kernel refuses or does not have is a KernelError
"""

import errno

import pytest

from kernel import sysctl
from kernel.errors import KernelError
from kernel.requests import AddBridge
from tests.netns.spaces import Space

FORWARD = "net/ipv4/ip_forward"


def test_a_value_is_written_in_its_namespace_only(host: Space, container: Space) -> None:
    at_home = sysctl.read(FORWARD)
    sysctl.write(FORWARD, "0", container.namespace)
    sysctl.write(FORWARD, "1", host.namespace)
    assert sysctl.read(FORWARD, host.namespace) == "1"
    assert sysctl.read(FORWARD, container.namespace) == "0"
    assert sysctl.read(FORWARD) == at_home


def test_a_link_name_may_hold_dots(host: Space) -> None:
    host.network.apply(AddBridge("br0.5"))
    sysctl.write("net/ipv6/conf/br0.5/accept_ra", "0", host.namespace)
    assert sysctl.read("net/ipv6/conf/br0.5/accept_ra", host.namespace) == "0"


def test_ensure_writes_only_what_differs(host: Space) -> None:
    sysctl.write(FORWARD, "0", host.namespace)
    assert [sysctl.ensure(FORWARD, "1", host.namespace) for _ in range(2)] == [True, False]
    assert sysctl.read(FORWARD, host.namespace) == "1"


def test_a_refused_value_is_a_kernel_error(host: Space) -> None:
    with pytest.raises(KernelError, match="setting sysctl net/ipv4/ip_forward to maybe: Invalid argument") as refused:
        sysctl.write(FORWARD, "maybe", host.namespace)
    assert refused.value.errno == errno.EINVAL


def test_writing_what_is_not_there_is_gone(host: Space) -> None:
    with pytest.raises(KernelError, match="setting sysctl") as refused:
        sysctl.write("net/ipv4/conf/absent/forwarding", "1", host.namespace)
    assert refused.value.gone
