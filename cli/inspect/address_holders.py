"""Finds the links that have addresses of this host's subnet: those of the host and those of its containers.

A container is found by its end of a veth whose other end is here, whoever started it. Not found are containers without
a veth (macvlan, a network of their own), and those whose namespace has neither a process nor a name.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kernel import netns
from kernel.errors import KernelError
from kernel.netlink.handle import Handle
from kernel.netlink.objects import Address, Link
from kernel.netns import Namespace
from system.ip import IPAddress, IPNetwork

BOUND = ("/run/netns", "/run/docker/netns")
"""Where runtimes give names to namespaces; others are found by their processes."""


@dataclass(frozen=True, slots=True)
class Holder:
    """An address and the link that has it."""

    address: IPAddress
    link: str  # with words that tell where it is


def find(links: Collection[Link], addresses: Collection[Address], subnets: Collection[IPNetwork]) -> tuple[Holder, ...]:
    """Return the links that have addresses of `subnets`: the host's, which are given, and its containers'.

    Raises KernelError.
    """
    names = {link.index: link.name for link in links}
    here = [(names.get(one.link, "?"), one) for one in addresses]
    held = [Holder(one.address.ip, name) for name, one in here if _within(one, subnets)]
    veths = {link.index: link for link in links if link.kind == "veth"}
    told: dict[int, list[Holder]] = {}
    seen = {netns.current().identity}
    for path in _paths() if veths else ():
        with suppress(KernelError), netns.open_path(path) as namespace:
            if namespace.identity not in seen:
                seen.add(namespace.identity)
                for veth, holder in _inside(namespace, veths, subnets):
                    told.setdefault(veth, []).append(holder)
    # A veth has one other end. If several fit, they are in namespaces of other, simulated hosts, and prove nothing.
    return (*held, *(holder for each in told.values() if len({one.link for one in each}) == 1 for holder in each))


def _inside(
    namespace: Namespace, veths: dict[int, Link], subnets: Collection[IPNetwork]
) -> Iterator[tuple[int, Holder]]:
    """Yield the links with addresses of the subnets in a namespace, each after the index of the veth on the host."""
    with Handle(namespace) as container:
        inner = {link.index: link for link in container.links() if link.kind == "veth"}
        for one in container.addresses():
            link = inner.get(one.link)
            end = veths.get(link.peer) if link else None
            if link is not None and end is not None and end.peer == link.index and _within(one, subnets):
                whose = f" of {end.alias}" if end.alias else ""
                yield end.index, Holder(one.address.ip, f"{link.name} behind {end.name}{whose} ({namespace.path})")


def _within(held: Address, subnets: Collection[IPNetwork]) -> bool:
    return any(held.address.version == one.version and held.address.ip in one for one in subnets)


def _paths() -> Iterator[str]:
    """Yield a path for every network namespace that has a name or a process, those with a name first."""
    for folder in BOUND:
        with suppress(OSError):
            yield from (str(one) for one in sorted(Path(folder).iterdir()))
    known: set[str] = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            path = str(process / "ns" / "net")
            identity = os.readlink(path)  # noqa: PTH115 - no path: net:[number]
            if identity not in known:
                known.add(identity)
                yield path
