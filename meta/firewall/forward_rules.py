"""Adds, finds and removes the rules that forward a container's packets (docs/reference/cni.md 4.2).

Writers of ours hold a lock of the network namespace. When another program changes the rules in between, they are read
again. meta.firewall.rules decides what the rules say.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from functools import partial

from kernel import sysctl
from kernel.errors import KernelError
from kernel.firewall import choose as backends
from kernel.firewall import iptables, lock, nft
from kernel.netlink.requests import SetLink
from meta import rule_update
from meta.firewall.rules import iptables as legacy
from meta.firewall.rules import nftables as modern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from typing import Any

    from cni.attachment_id import AttachmentID
    from cni.types import Result
    from kernel.netlink.handle import Handle, Link
    from meta.firewall.plan import Passage
    from system.ip import IPAddress

BRIDGED = {4: "net/bridge/bridge-nf-call-iptables", 6: "net/bridge/bridge-nf-call-ip6tables"}
"""Whether packets that stay on a bridge pass the IP rules. Without the module br_netfilter they never do."""


def choose(configured: str, families: Collection[int], answered: Collection[int] = ()) -> str:
    """Return the backend: the configured one, else one that works.

    iptables has just `answered` for these IP versions.
    """
    return backends.choose(configured, families, answered)


def grant(plan: Passage, backend: str) -> None:
    """Add the plan's rules. When a step fails, no rule of this attachment stays. Raises KernelError.

    `backend` is the configured one, or empty: take the one that works.
    """
    with ExitStack() as undo:
        with lock.rules_lock():
            rule_update.repeat(partial(_grant, plan, backend, undo))
        undo.pop_all()


def _grant(plan: Passage, configured: str, undo: ExitStack) -> None:
    found = {} if configured == "nftables" else _readable(plan.families)
    backend = choose(configured, plan.families, [family for family, rules in found.items() if rules])
    undo.callback(withdraw, plan.owner, backend, ())
    if backend == "nftables":
        _grant_modern(plan)
    else:
        _grant_legacy(plan, found)


def _readable(families: Collection[int]) -> dict[int, list[legacy.Rule]]:
    """Return what iptables lists, without the IP versions that it cannot list.

    Whoever needs those gets the error there.
    """
    found = {}
    for family in families:
        with suppress(KernelError):
            found[family] = read_legacy(family)
    return found


def _grant_modern(plan: Passage) -> None:
    existing = read_modern()
    if not existing:
        nft.add_table(modern.FAMILY, modern.TABLE, modern.TABLE_COMMENT)
    nft.run(modern.addition(plan, existing))


def _grant_legacy(plan: Passage, found: dict[int, list[legacy.Rule]]) -> None:
    for family in plan.families:
        existing = found[family] if family in found else read_legacy(family)
        iptables.restore(family, legacy.TABLE, (), legacy.addition(plan, family, existing))


def withdraw(owner: AttachmentID, backend: str, known: Collection[IPAddress]) -> None:
    """Remove the attachment's rules from `backend` (empty: from both) in one commit each. No rules is success.

    Of the rules that the reference made, those for the `known` addresses are removed.
    """
    _remove(
        backend,
        lambda family, existing: legacy.removal(owner, family, known, existing),
        lambda existing: modern.removal(owner, existing),
    )


def withdraw_strangers(network: str, known: Collection[AttachmentID]) -> None:
    """Remove from both backends the rules of every attachment of `network` that is not among the `known`."""
    _remove(
        "",
        lambda _, existing: legacy.strangers(network, known, existing),
        lambda existing: modern.strangers(network, known, existing),
    )


def _remove(
    backend: str,
    from_legacy: Callable[[int, list[legacy.Rule]], list[legacy.Rule]],
    from_modern: Callable[[list[dict[str, Any]]], list[modern.Command]],
) -> None:
    def in_legacy(family: int) -> None:
        iptables.restore(family, legacy.TABLE, (), from_legacy(family, read_legacy(family)))

    def in_modern() -> None:
        nft.run(from_modern(read_modern()))

    rule_update.remove(backend, in_legacy, in_modern)


def read_legacy(family: int) -> list[legacy.Rule]:
    """Return the rules in iptables' filter table for one IP version."""
    return iptables.listing(family, legacy.TABLE)


def read_modern() -> list[dict[str, Any]]:
    """Return the objects of our nftables table; empty where nftables does not work."""
    return rule_update.objects(modern.FAMILY, modern.TABLE)


def open_ports(plan: Passage, earlier: Result, host: Handle) -> Iterator[Link]:
    """Yield the attachment's ports of the bridge that its policy separates, but neither rules nor port flags do."""
    if plan.policy == "isolated" and not all(sysctl.read(BRIDGED[family]) == "1" for family in plan.families):
        links = (host.link(entry.name) for entry in earlier.interfaces if not entry.sandbox)
        yield from (link for link in links if link is not None and link.isolated is False)


def separate(plan: Passage, earlier: Result, host: Handle) -> None:
    """Isolate the attachment's ports from the other isolated ports of the bridge. Raises KernelError."""
    for link in open_ports(plan, earlier, host):
        host.apply(SetLink(link.index, isolated=True))
