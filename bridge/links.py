"""What every link of ours gets the same way: its name or MAC by chance, and no say in the host's routing.

Must not know what a link is for.
"""

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
"""As many as fit a link name: the kernel goes on with a batch after a refusal, so a clash of names would put our alias on
somebody else's link. 44 random bits make that a thing that does not happen; the reference's 32 do not quite."""


def random_name() -> str:
    """Return a name for an end of a veth that lives on the host."""
    return f"veth{urandom(6).hex()[:DIGITS]}"


def random_mac() -> str:
    """Return a locally administered unicast MAC."""
    first, *rest = urandom(6)
    return ":".join(f"{octet:02x}" for octet in (first & 0xFE | 0x02, *rest))


def ignore_router_advertisements(link: Link) -> None:
    """Before carrier, so that no container can route the host's traffic through itself (CVE-2020-10749)."""
    if link.advised:
        with suppress(KernelError):
            sysctl.write(f"net/ipv6/conf/{link.name}/accept_ra", "0")


def loose(name: str) -> Parameter:
    """Return what lets packets in by this link whose answers would leave by another one, where a strict filter drops them.

    The answers of a container on two networks leave by the one with the default route, whichever its address is of. Loose (2) is as
    netavark has it; where nothing is filtered nothing changes.
    """
    own = f"net/ipv4/conf/{name}/rp_filter"
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
