"""Finds what attachments left on this host, and decides which of them are dead. Only evidence makes one dead.

Every link of ours has the alias `net/id/ifname`, and every reservation and rule says the same, so what has lost its
link is found by name. It is dead if the network's configuration says that our bridge gives each attachment a link, and
no request for it is running. A reservation is also dead if it is of an earlier boot. Everything else is unknown.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from cli.inspect.cni_configs import Conflist
from cli.inspect.network_state import NetworkState
from cni.attachment_id import COMMENT_BYTES, AttachmentID
from cni.attachment_lock import AttachmentLock
from cni.errors import CniError
from ipam.claims import SEPARATOR
from kernel.firewall import iptables, nft
from kernel.netlink.handle import Handle

PROGRAM = "bridge"
PATIENCE = 0.2
"""Seconds that an attachment's lock may be held before its request counts as running."""
TABLES = (("inet", "cni_plugins_masquerade"), ("ip", "cni_hostport"), ("ip6", "cni_hostport"))
IN_NFTABLES = re.compile(r"([0-9a-f]{16}-[0-9a-f]{16}), net: (.+), if: (.+), id: (.+)")
IN_IPTABLES = re.compile(r'(?:dnat )?name: "([^"]+)" id: "([^"]+)"')

DEAD, UNKNOWN = "dead", "unknown"


@dataclass(frozen=True, slots=True)
class Reference:
    """One thing that names an attachment."""

    what: str
    owner: AttachmentID  # its ifname is empty where the thing does not say it
    cut: bool = False  # the owner's id is only the beginning of one


@dataclass(frozen=True, slots=True)
class Orphan:
    """Something of an attachment that has no link."""

    what: str
    owner: AttachmentID | None  # None: nobody's
    verdict: str  # DEAD or UNKNOWN
    reason: str  # of the verdict
    path: str = ""
    """The file of a vacant reservation."""


def find(found: NetworkState, conflists: Collection[Conflist]) -> tuple[Orphan, ...]:
    """Return what is left behind, dead or unknown. Raises KernelError when links or rules cannot be listed."""
    wired = {each.name for each in conflists if each.wires_by_bridge}
    known = {each.name for each in conflists if each.name}
    with Handle() as kernel:
        linked = _linked(kernel)
        reserved = tuple(_reserved(found))
        named = {each.mark: each for each in (*linked, *(trace.owner for trace in reserved))}
        traces = (replace(one, owner=one.owner.among(known)) for one in (*reserved, *ruled(named)))
        lost = [one for one in traces if not _alive(one.owner, linked)]
        remains = [_judged(one, wired, known, kernel) for one in lost]
    held = {trace.owner.alias for trace in reserved}
    return (*_vacant(found), *(one for one in remains if one is not None), *_unreserved(found, held, wired))


def lives(owner: AttachmentID, kernel: Handle) -> bool:
    """Return whether an attachment has its link now. Raises KernelError."""
    return _alive(owner, _linked(kernel))


def _linked(kernel: Handle) -> frozenset[AttachmentID]:
    return frozenset(owner for link in kernel.links() if (owner := AttachmentID.signed(link.alias)))


def _alive(owner: AttachmentID, linked: Iterable[AttachmentID]) -> bool:
    return any(
        one.among((owner.network,)).network == owner.among((one.network,)).network
        and owner.container_id == one.container_id
        and owner.ifname in {"", one.ifname}
        for one in linked
    )


def _reserved(found: NetworkState) -> Iterator[Reference]:
    for each in found.book.held if found.book else ():
        match (each.text or "").split(SEPARATOR):
            case [container_id, ifname, network]:
                yield Reference(f"address {each.address}", AttachmentID(network, container_id, ifname))


def _vacant(found: NetworkState) -> Iterator[Orphan]:
    for each in found.book.reservations if found.book else ():
        if each.vacant and each.address is not None:
            reason = "it is of an earlier boot" if each.text else "it is empty, an interrupted write"
            yield Orphan(f"address {each.address}", None, DEAD, reason, each.path)


def _unreserved(found: NetworkState, held: Collection[str], wired: Collection[str]) -> Iterator[Orphan]:
    """Yield links of networks with the lease whose address is not in its book."""
    for link in found.links if found.own else ():  # without it the book may be another lease's
        owner = AttachmentID.signed(link.alias)
        if owner is not None and owner.among(wired).network in wired and link.alias not in held:
            yield Orphan(
                f"link {link.name}", owner, UNKNOWN, "it has no address in the book, yet its container may run"
            )


def ruled(named: Mapping[str, AttachmentID]) -> Iterator[Reference]:
    """Yield the rules of both backends that name an attachment.

    A shortened comment is completed from `named`, by its mark.
    """
    for family, table in TABLES if nft.installed() else ():
        for each in nft.listing(family, table):
            text = str(each.get("rule", {}).get("comment", ""))
            if told := IN_NFTABLES.fullmatch(text):
                known = named.get(told[1])
                cut = known is None and len(text.encode()) >= COMMENT_BYTES - 3
                yield Reference(
                    f"rule in nftables {family} {table}", known or AttachmentID(told[2], told[4], told[3]), cut
                )
    for version in (4, 6):
        for rule in iptables.listing(version, "nat"):
            told = next((match for word in rule if (match := IN_IPTABLES.match(word))), None)
            if told:
                yield Reference(f"rule in iptables nat, IPv{version}", AttachmentID(told[1], told[2], ""))


def _judged(trace: Reference, wired: Collection[str], known: Collection[str], kernel: Handle) -> Orphan | None:
    """Return the verdict on a thing without a link; None if it has one after all, or its request is still running."""
    owner = trace.owner
    if trace.cut:
        return Orphan(trace.what, owner, UNKNOWN, "its comment is cut, so that the container is not known")
    if owner.network not in wired:
        what = "is not made by our bridge" if owner.network in known else "has no configuration here"
        return Orphan(trace.what, owner, UNKNOWN, f"the network {owner.network} {what}")
    try:
        with AttachmentLock(PROGRAM, owner.network, owner.container_id, owner.ifname, patience=PATIENCE):
            if lives(owner, kernel):
                return None
    except CniError:
        return None
    return Orphan(trace.what, owner, DEAD, "its link on the host is gone")
