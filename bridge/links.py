"""What every link we make has in common: a random name or MAC, and no influence on the host's routing."""

from collections.abc import Sequence
from contextlib import suppress
from os import urandom

from cni.errors import CniError, Code
from kernel import sysctl
from kernel.errors import KernelError
from kernel.netlink.handle import Handle, Link
from kernel.netlink.requests import Request
from kernel.sysctl import Parameter

DIGITS = 11
"""Hexadecimal digits of a random link name, as many as fit (IFNAMSIZ).

After a refusal the kernel still executes the rest of a batch. If the name were taken, our alias would be put on another
program's link. 44 random bits make that practically impossible; the reference has 32.
"""


def random_name() -> str:
    """Return a random name for the host's end of a veth pair."""
    return f"veth{urandom(6).hex()[:DIGITS]}"


def random_mac() -> str:
    """Return a locally administered unicast MAC."""
    first, *rest = urandom(6)
    return ":".join(f"{octet:02x}" for octet in (first & 0xFE | 0x02, *rest))


def ignore_router_advertisements(link: Link) -> None:
    """Make the host ignore router advertisements on a link, before it has carrier.

    Else a container could redirect the host's traffic (CVE-2020-10749).
    """
    if link.advised:
        with suppress(KernelError):
            sysctl.write(f"net/ipv6/conf/{link.name}/accept_ra", "0")


def loose(name: str) -> Parameter:
    """Return the parameter that makes a strict reverse path filter of this link a loose one.

    A container on two networks answers through its default route, whichever of its addresses was asked. A strict filter
    drops these answers. Value 2 (loose) is what netavark sets; where no filter is set, nothing changes.
    """
    own = f"net/ipv4/conf/{name}/rp_filter"
    # The kernel uses the larger of the link's value and that of `all` (Documentation/networking/ip-sysctl.rst).
    return Parameter(own, "2", optional=True, only_if=((own, "1"), ("net/ipv4/conf/all/rp_filter", "1")))


def present(network: Handle, name: str | int, after: Sequence[Request] = ()) -> Link:
    """Return a link that was just made, or that the requests of `after` make; CniError 11 when another program has removed it."""
    (link,) = network.look(name, after=after)
    return insist(link, name)


def insist(link: Link | None, name: str | int) -> Link:
    """Return a link that was just made; CniError 11 when another program has removed it."""
    if link is None:
        raise CniError(
            Code.TRY_AGAIN_LATER, f'link "{name}" vanished while it was being set up', "another program removed it"
        )
    return link
