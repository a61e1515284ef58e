"""Reads, changes and puts back parameters and properties inside the container's namespace."""

from __future__ import annotations

import errno
from contextlib import suppress
from types import MappingProxyType

from kernel import sysctl
from kernel.errors import KernelError
from kernel.netlink.requests import SetLink
from meta.tuning.config import Properties
from meta.tuning.plan import Memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kernel.netlink.handle import Handle, Link
    from meta.tuning.config import Settings

LINE_END = "\n"
"""Empties a parameter that is a list. Writing nothing at all would change nothing."""

UNREADABLE = frozenset({errno.EACCES, errno.EPERM, errno.EINVAL, errno.EIO})
"""The kernel's errors when one reads a parameter that can only be written."""


def before(settings: Settings, link: Link | None, container: Handle) -> Memory:
    """Return the present values of what `settings` change. Without properties no `link` is needed."""
    values = {each.path: value(each.path, container) for each in settings.sysctls}
    told = {path: found for path, found in values.items() if found is not None}
    properties = now(settings.properties, link) if link else settings.properties
    return Memory(properties=properties, sysctls=MappingProxyType(told))


def now(wanted: Properties, link: Link) -> Properties:
    """Return those properties of `link` that `wanted` sets."""
    return Properties(
        mac=link.mac if wanted.mac else "",
        mtu=link.mtu if wanted.mtu else 0,
        promisc=None if wanted.promisc is None else link.promisc,
        all_multicast=None if wanted.all_multicast is None else link.all_multicast,
        queue=None if wanted.queue is None else link.queue,
    )


def value(path: str, container: Handle) -> str | None:
    """Return a parameter; None when it does not exist or can only be written. Raises KernelError."""
    try:
        return sysctl.read(path, container.namespace)
    except KernelError as refused:
        if refused.errno in UNREADABLE:
            return None
        raise


def change(settings: Settings, link: Link | None, container: Handle) -> None:
    """Set everything in `settings`, parameters first, as the reference does. Raises KernelError."""
    for each in settings.sysctls:
        sysctl.write(each.path, each.value or LINE_END, container.namespace)
    if link:
        container.apply(*_changes(settings.properties, link.index))


def restore(memory: Memory, ifname: str, container: Handle) -> None:
    """Put back what was saved, in reverse order. An absent interface, or a refusal, is no failure."""
    with suppress(KernelError):
        link = container.link(ifname)
        if link is not None:
            container.attempt(_changes(memory.properties, link.index))
    for path, text in reversed(tuple(memory.sysctls.items())):
        with suppress(KernelError):
            sysctl.write(path, text or LINE_END, container.namespace)


def _changes(wanted: Properties, index: int) -> list[SetLink]:
    """Return one request per property, so that an error names it and does not stop the others."""
    requests = []
    if wanted.mac:
        requests.append(SetLink(index, mac=wanted.mac))
    if wanted.promisc is not None:
        requests.append(SetLink(index, promiscuous=wanted.promisc))
    if wanted.mtu:
        requests.append(SetLink(index, mtu=wanted.mtu))
    if wanted.all_multicast is not None:
        requests.append(SetLink(index, all_multicast=wanted.all_multicast))
    if wanted.queue is not None:
        requests.append(SetLink(index, queue=wanted.queue))
    return requests
