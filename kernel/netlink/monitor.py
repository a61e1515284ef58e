"""Tells of changes in a network namespace, from the kernel's notifications, so that nothing has to poll or sleep.

An event says only where to look: the kernel drops events when too many come at once, so the reader compares state
anyway.
"""

import errno
import select
import struct
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from kernel.errors import KernelError
from kernel.netlink.handle import Handle
from kernel.netlink.listener import Listener
from kernel.netlink.message import HEADER
from kernel.netlink.objects import Address, Link
from kernel.netlink.transport import Message
from kernel.netns import Namespace

GROUPS = {
    "link": 0x1,  # RTMGRP_LINK
    "neighbour": 0x4,  # RTMGRP_NEIGH: ours and vxlan's forwarding entries
    "address": 0x10 | 0x100,  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
    "route": 0x40 | 0x400,  # RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_ROUTE
}
"""The kinds of change, and the multicast groups that tell of them (linux/rtnetlink.h)."""

KINDS = {16: "link", 17: "link", 20: "address", 21: "address", 24: "route", 25: "route"}
KINDS |= {28: "neighbour", 29: "neighbour"}

INDEX_OFFSET = HEADER.size + 4
"""struct ifinfomsg, ifaddrmsg and ndmsg all keep the link's index there; struct rtmsg has none."""

Seen = TypeVar("Seen")


@dataclass(frozen=True, slots=True)
class Change:
    """Something of this kind changed on a link; link 0 is any link (all route changes, and everything after a loss)."""

    kind: str
    """One of the keys of GROUPS."""
    link: int = 0
    """The index of the link; 0 for any (all route changes, and everything after lost events)."""


class Events(Listener[Change]):
    """Hears of changes of some kinds."""

    __slots__ = ()

    subject = "network"

    def __init__(self, namespace: Namespace | None = None, kinds: Collection[str] = tuple(GROUPS)) -> None:
        groups = 0
        for kind in kinds:
            groups |= GROUPS[kind]
        super().__init__(namespace, groups, (Change(kind) for kind in kinds))

    def meaning(self, event: Message) -> Change | None:
        """Return which kind, on which link, a message is about."""
        return change_of(event)

    def wait(self, timeout: float) -> frozenset[Change]:
        """Return what changed, as soon as something has; nothing after `timeout` seconds."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return self.read() if poll.poll(max(0.0, timeout) * 1000) else frozenset()


def change_of(event: Message) -> Change | None:
    """Return the kind and the link a message is about; None when it is about neither."""
    kind = KINDS.get(event.kind)
    if kind is None:
        return None
    routed = kind == "route" or len(event.data) < INDEX_OFFSET + 4
    return Change(kind, 0 if routed else struct.unpack_from("=i", event.data, INDEX_OFFSET)[0])


def wait_for_link_up(network: Handle, index: int, timeout: float) -> Link:
    """Wait until a link's operstate is up, at most `timeout` seconds; return it as last seen, up or not.

    Raises KernelError ENODEV when there is no such link.
    """

    def look() -> Link:
        link = network.link(index)
        if link is None:
            raise KernelError(errno.ENODEV, f"waiting for link {index} to come up")
        return link

    return _wait(network, ("link",), look, lambda link: link.running, timeout)


def wait_for_dad(network: Handle, index: int, timeout: float) -> tuple[Address, ...]:
    """Wait until duplicate address detection is over on a link, at most `timeout` seconds (docs/reference/cni.md 2.4 step 4).

    Return the IPv6 addresses that are not usable: none when all is well, those with `dadfailed` as soon as one has
    failed, those still `tentative` when time is up.
    """

    def look() -> tuple[Address, ...]:
        return tuple(each for each in network.addresses(index, 6) if each.tentative or each.dadfailed)

    def settled(left: tuple[Address, ...]) -> bool:
        return not left or any(each.dadfailed for each in left)

    return _wait(network, ("address",), look, settled, timeout)


def _wait(
    network: Handle, kinds: Collection[str], look: Callable[[], Seen], done: Callable[[Seen], bool], timeout: float
) -> Seen:
    """Look, and look again after every event, until done or out of time; listens only if the first look was not it."""
    seen = look()
    if done(seen):
        return seen
    deadline = time.monotonic() + timeout
    with Events(network.namespace, kinds) as events:
        seen = look()
        while not done(seen) and (left := deadline - time.monotonic()) > 0:
            events.wait(left)
            seen = look()
    return seen
