"""Claims: what this kernel really answers in the situations people get into has the remedy that fits.

Not covered: what a test cannot bring a kernel to (no memory, missing modules); tests/unit/kernel/test_remedies.py has every row.
"""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

import pytest

from kernel import netns, sysctl
from kernel.errors import KernelError
from kernel.netlink.requests import (
    AddAddress,
    AddBridge,
    AddNeighbour,
    AddRoute,
    AddVeth,
    AddVxlan,
    DeleteLink,
    Request,
    SetLink,
)
from tests.netns.spaces import Space

ROOT = Path(__file__).parents[3]
HERE = ip_interface("10.1.0.1/24")


@pytest.fixture(scope="module")
def space() -> Iterator[Space]:
    """Return a namespace with two bridges, a veth with an address that is up, and one without that is down."""
    made = Space("remedies")
    made.network.apply(AddBridge("br0"))
    made.network.apply(AddBridge("br1"))
    made.network.apply(AddVeth("v0", "w0", None, up=True))
    made.network.apply(AddVeth("v1", "w1", None, up=False))
    made.network.apply(AddAddress(made.index("v0"), HERE))
    made.run("ip", "link", "add", "link", "w1", "name", "m1", "type", "macvlan")
    made.network.apply(AddVxlan("vx0", 7, made.index("v0"), HERE.ip, port=4790))
    yield made
    made.close()


def v6(space: Space) -> int:
    """Return the index of a link whose IPv6 is switched off."""
    sysctl.write("net/ipv6/conf/v0/disable_ipv6", "1", space.namespace)
    return space.index("v0")


SITUATIONS: dict[str, tuple[Callable[[Space], Request], str]] = {
    "an IPv6 address where IPv6 is off": (
        lambda space: AddAddress(v6(space), ip_interface("fd00::2/64")),
        "IPv6 is switched off",
    ),
    "an IPv6 route where IPv6 is off": (
        lambda space: AddRoute(ip_network("fd01::/64"), link=v6(space)),
        "IPv6 is switched off",
    ),
    "a MAC of a group": (lambda space: SetLink(space.index("v0"), mac="01:00:00:00:00:01"), "no such MAC"),
    "a gateway nowhere near": (
        lambda space: AddRoute(ip_network("10.9.0.0/16"), link=space.index("v0"), gateway=ip_address("10.8.0.1")),
        "the gateway lies in no network",
    ),
    "an address twice": (lambda space: AddAddress(space.index("v0"), HERE), "has that address already"),
    "a name twice": (lambda _: AddBridge("br0"), "ip link delete it"),
    "a VNI twice": (
        lambda space: AddVxlan("vx1", 7, space.index("v0"), HERE.ip, port=4790),
        "that VNI",
    ),
    "a bridge in a bridge": (
        lambda space: SetLink(space.index("br1"), master=space.index("br0")),
        "cannot be a port of a bridge",
    ),
    "a port with a macvlan": (
        lambda space: SetLink(space.index("w1"), master=space.index("br0")),
        "nomaster",
    ),
    "an MTU below the least": (lambda space: SetLink(space.index("br0"), mtu=9), "minmtu"),
    "a link that is gone": (lambda _: AddAddress(9999, HERE), "the link is gone"),
    "a route by a link that is down": (
        lambda space: AddRoute(ip_network("10.7.0.0/16"), link=space.index("v1")),
        "ip link set it up",
    ),
    "a neighbour on a link that is gone": (
        lambda _: AddNeighbour(9999, ip_address("10.1.0.9"), "02:00:00:00:00:09"),
        "the link is gone",
    ),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_refusal_has_the_remedy_that_fits(space: Space, situation: str) -> None:
    asked, fragment = SITUATIONS[situation]

    with pytest.raises(KernelError) as refused:
        space.network.apply(asked(space))

    assert fragment in refused.value.hint, str(refused.value)


def test_a_port_of_the_tunnel_in_use_names_what_shows_by_whom(space: Space) -> None:
    with netns.inside(space.namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("", 4790))
        with pytest.raises(KernelError) as refused:
            space.network.apply(SetLink(space.index("vx0"), up=True))

    assert "ss -lunp" in refused.value.hint, str(refused.value)


def test_a_full_bridge_says_so() -> None:
    crowd = Space("crowd")
    try:
        crowd.network.apply(AddBridge("br0"))
        bridge = crowd.index("br0")
        errors = crowd.network.attempt([AddVeth(f"v{n}", f"w{n}", None, master=bridge) for n in range(1024)])
    finally:
        crowd.close()

    assert [position for position, error in enumerate(errors) if error] == [1023]
    assert errors[-1] is not None
    assert "1023 ports" in errors[-1].hint


@pytest.mark.parametrize(
    ("key", "value", "fragment"),
    [("net/ipv4/absent", "1", "no such parameter"), ("net/ipv4/ip_forward", "many", "takes no such value")],
)
def test_a_refused_parameter_says_why(space: Space, key: str, value: str, fragment: str) -> None:
    with pytest.raises(KernelError) as refused:
        sysctl.write(key, value, space.namespace)

    assert fragment in refused.value.hint, str(refused.value)


READ_ONLY = """
from kernel import sysctl
from kernel.errors import KernelError
try:
    sysctl.write("net/ipv4/ip_forward", "1")
except KernelError as refused:
    print(refused.hint)
"""


def test_a_read_only_proc_sys_is_named() -> None:
    script = 'mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys; exec "$@"'
    told = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-ec", script, "sh", sys.executable, "-c", READ_ONLY],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert told.startswith("/proc/sys is read-only here")


def test_what_is_gone_stays_gone(space: Space) -> None:
    with pytest.raises(KernelError) as refused:
        space.network.apply(DeleteLink(9999))

    assert refused.value.gone
