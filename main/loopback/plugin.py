"""The verbs of `loopback`: ADD sets the device up, CHECK looks whether it is up, DEL sets it down.

CNI_IFNAME and CNI_ARGS are not read. It stores nothing, so STATUS and GC have nothing to do.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from cni.errors import CniError, Code
from cni.request import Request, allows_own_netns
from cni.types import Result
from kernel import netns
from kernel.errors import KernelError, NamespaceGone
from kernel.netlink.handle import Handle, Link
from kernel.netlink.requests import SetLink
from kernel.netns import Namespace
from main.loopback import plan
from system.ip import IPInterface


def add(request: Request) -> Result:
    """Set the device up and return its addresses, or prevResult unchanged if there is one.

    Raises CniError 103 for an address that is no loopback one, before anything is changed; 8 for a bad namespace.
    """
    earlier = request.prev_result
    with _container(request) as container:
        device = _device(container)
        plan.refuse_strangers(_addresses(container, device))
        container.apply(SetLink(device.index, up=True))
        return earlier or plan.result(_addresses(container, device), request.netns)


def check(request: Request) -> None:
    """Raise CniError 102 unless the device is up."""
    with _container(request) as container:
        if not _device(container).up:
            raise CniError(
                Code.CHECK_FAILED,
                f'loopback interface is down in "{request.netns}"',
                f"ip link set {plan.DEVICE} up there, or delete the attachment and add it again",
            )


def delete(request: Request) -> None:
    """Set the device down. Without the namespace there is no device (docs/reference/cni.md 1.11)."""
    if not request.netns:
        return
    try:
        with _opened(request) as namespace, Handle(namespace) as container:
            container.apply(SetLink(plan.DEVICE, up=False))
    except NamespaceGone:
        return
    except KernelError as refused:
        # A device or namespace that disappears meanwhile counts as down.
        if not refused.gone:
            raise


VERBS = {"ADD": add, "CHECK": check, "DEL": delete}


def _opened(request: Request) -> Namespace:
    return netns.open_other(request.netns, allow_own=allows_own_netns(request.environ))


@contextmanager
def _container(request: Request) -> Iterator[Handle]:
    """Yield a handle for the container's namespace. Raises CniError 8 if there is none."""
    try:
        namespace = _opened(request)
    except NamespaceGone as gone:
        raise CniError(
            Code.INVALID_NETNS,
            f'failed to open netns "{request.netns}": {gone}',
            "pass the path of a network namespace in CNI_NETNS",
        ) from gone
    with namespace, Handle(namespace) as container:
        yield container


def _device(container: Handle) -> Link:
    link = container.link(plan.DEVICE)
    if link is None:
        raise CniError(Code.INVALID_NETNS, f'no device "{plan.DEVICE}"', "every network namespace has one: renamed?")
    return link


def _addresses(container: Handle, device: Link) -> tuple[IPInterface, ...]:
    return tuple(entry.address for entry in container.addresses(device.index))
