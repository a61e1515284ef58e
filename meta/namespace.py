"""Opens the container's network namespace for the programs that work in it."""

from __future__ import annotations

from contextlib import contextmanager

from cni.errors import CniError, Code
from cni.request import allows_own_netns
from kernel import netns as namespaces
from kernel.errors import NamespaceGone
from kernel.netlink.handle import Handle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.request import Request
    from kernel.netlink.handle import Link


@contextmanager
def container(request: Request) -> Iterator[Handle]:
    """Yield a handle for the container's namespace. Raises CniError 8 when there is none.

    Its `.namespace` stays open within the block.
    """
    try:
        namespace = namespaces.open_other(request.netns, allow_own=allows_own_netns(request.environ))
    except NamespaceGone as gone:
        raise CniError(
            Code.INVALID_NETNS,
            f'failed to open netns "{request.netns}": {gone}',
            "pass the path of a network namespace in CNI_NETNS",
        ) from gone
    with namespace, Handle(namespace) as network:
        yield network


def interface(network: Handle, ifname: str, netns: str) -> Link:
    """Return the container's interface. Raises CniError 7 when it does not exist."""
    link = network.link(ifname)
    if link is None:
        raise CniError(
            Code.INVALID_CONFIG,
            f'no interface "{ifname}" in "{netns}"',
            "list this program behind the one that makes the interface",
        )
    return link
