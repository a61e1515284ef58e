"""Claims about kernel.sysctl inside namespaces.

- what is written in one namespace is read there and nowhere else, and the process stays at home
- link names with dots work
- `ensure` writes only what differs; a list is set in order, what is optional in it may be refused
- a long value is read whole
- what the kernel refuses or does not have is a KernelError
"""

import errno

import pytest

from kernel import sysctl
from kernel.errors import KernelError
from kernel.netlink.requests import AddBridge
from kernel.sysctl import Parameter
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


def test_several_are_set_in_order_and_what_is_optional_may_be_refused(host: Space) -> None:
    absent, present = "net/ipv4/conf/absent/forwarding", "net/ipv4/conf/lo/forwarding"
    wanted = [Parameter(absent, "1", optional=True), Parameter(absent, "1", compare=True), Parameter(present, "0")]
    sysctl.write_all([*wanted, Parameter(present, "1", compare=True)], host.namespace)
    assert sysctl.read(present, host.namespace) == "1"
    with pytest.raises(KernelError, match="setting sysctl") as refused:
        sysctl.write_all([Parameter(absent, "1"), Parameter(present, "0")], host.namespace)
    assert (refused.value.gone, sysctl.read(present, host.namespace)) == (True, "1")


def test_a_value_that_fills_more_than_one_read_is_read_whole(host: Space) -> None:
    ports = ",".join(str(port) for port in range(1025, 5025, 2))
    sysctl.write("net/ipv4/ip_local_reserved_ports", ports, host.namespace)
    assert len(ports) > 2 * sysctl.READ_BYTES
    assert sysctl.read("net/ipv4/ip_local_reserved_ports", host.namespace) == ports


def test_a_refused_value_is_a_kernel_error(host: Space) -> None:
    with pytest.raises(KernelError, match="setting sysctl net/ipv4/ip_forward to maybe: Invalid argument") as refused:
        sysctl.write(FORWARD, "maybe", host.namespace)
    assert refused.value.errno == errno.EINVAL


def test_writing_what_is_not_there_is_gone(host: Space) -> None:
    with pytest.raises(KernelError, match="setting sysctl") as refused:
        sysctl.write("net/ipv4/conf/absent/forwarding", "1", host.namespace)
    assert refused.value.gone
