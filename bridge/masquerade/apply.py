"""Adds, finds and removes the masquerade rules, through the configured backend or, without one, one that works.

It is not recorded which backend ADD used, so CHECK and DEL look in both. A backend that does not work here holds no
rules.
"""

from collections.abc import Callable, Collection, Iterable

from bridge.masquerade import iptables as legacy
from bridge.masquerade import nftables as modern
from bridge.plan import Attachment, Masquerade
from cni.attachment_id import AttachmentID, network_mark
from cni.errors import CniError, Code
from kernel.errors import KernelError
from kernel.firewall import choose as backends
from kernel.firewall import iptables, nft
from system.ip import IPAddress

FAMILIES = (4, 6)


def require(configured: str) -> None:
    """Raise CniError 50 unless the backend ADD would choose works; changes nothing."""
    backend = backends.choose(configured, (4,))
    if not (nft.usable() if backend == "nftables" else iptables.usable(4)):
        raise CniError(
            Code.NOT_AVAILABLE,
            f"ipMasq needs {backend}, which does not work here",
            "install nftables or iptables, or run as root",
        )


def add(plan: Attachment) -> None:
    """Add the plan's masquerade rules in one transaction, or with iptables in one per family."""
    if not plan.masquerade:
        return
    if backends.choose(plan.masquerade_backend, _families(plan.masquerade)) == "nftables":
        _add_modern(plan)
        return
    for family, rules in _by_family(plan.masquerade):
        _add_legacy(family, plan.owner, rules)


def _add_legacy(family: int, owner: AttachmentID, rules: list[Masquerade]) -> None:
    """Add the rules without reading the existing ones first; read them only when that is refused.

    A refused transaction has changed nothing. It is refused when another interface of the container already has rules.
    """
    try:
        _carry_out(family, legacy.first(owner, rules))
    except KernelError:
        _carry_out(family, legacy.addition(owner, rules, iptables.listing(family, legacy.TABLE)))


def _add_modern(plan: Attachment) -> None:
    """Add the rules to the existing ones; read those again when another program removed one in between."""
    try:
        nft.run(modern.addition(plan.owner, plan.masquerade, _modern_rules()))
    except KernelError as refused:
        if not refused.gone:
            raise
        nft.run(modern.addition(plan.owner, plan.masquerade, _modern_rules()))


def missing(plan: Attachment) -> bool:
    """Return whether rules of the plan are missing in the configured backend; without one, in either."""
    if not plan.masquerade:
        return False
    backends = (plan.masquerade_backend,) if plan.masquerade_backend else ("nftables", "iptables")
    return not any(_complete(plan, backend) for backend in backends)


def _complete(plan: Attachment, backend: str) -> bool:
    try:
        if backend == "nftables":
            return modern.complete(_modern_rules(), plan.owner.mark, len(plan.masquerade))
        return all(
            legacy.complete(plan.owner, rules, iptables.listing(family, legacy.TABLE))
            for family, rules in _by_family(plan.masquerade)
        )
    except KernelError as refused:
        if refused.unsupported:
            return False
        raise


def forget_modern(owner: AttachmentID) -> None:
    """Remove the attachment's nftables rules; none is success."""
    _attempt(lambda: nft.run(modern.removal(_modern_rules(), owner.mark)))


def forget_legacy(owner: AttachmentID, own_addresses: Callable[[], Collection[IPAddress] | None]) -> None:
    """Remove the container's iptables rules: all of them, or only those for the addresses that `own_addresses` returns.

    No rules is success.

    The listing shows which rules refer to the container's chain, so the addresses need not be known
    (docs/reference/cni.md 6, row 2). `own_addresses` is only called when the chain exists.
    """
    for family in FAMILIES:
        existing = iptables.listing(family, legacy.TABLE)
        if legacy.present(owner, existing):
            _carry_out(family, legacy.removal(owner, existing, own_addresses()))


def forget_modern_strangers(network: str, known: Collection[AttachmentID]) -> None:
    """Remove every nftables rule of `network` that belongs to none of the `known` attachments, in one transaction."""
    keep = {owner.comment for owner in known}
    _attempt(lambda: nft.run(modern.removal(_modern_rules(), network_mark(network), keep)))


def forget_legacy_strangers(network: str, known: Collection[AttachmentID]) -> None:
    """Remove every iptables chain of `network` that is of none of the `known` containers, in one change per family."""
    for family in FAMILIES:
        _carry_out(family, legacy.strangers(network, known, iptables.listing(family, legacy.TABLE)))


def _modern_rules() -> list[modern.Command]:
    return nft.listing(modern.FAMILY, modern.TABLE)


def _carry_out(family: int, change: legacy.Change) -> None:
    iptables.restore(family, legacy.TABLE, change.chains, change.rules)


def _families(rules: Iterable[Masquerade]) -> tuple[int, ...]:
    return tuple(sorted({rule.address.version for rule in rules}))


def _by_family(rules: tuple[Masquerade, ...]) -> Iterable[tuple[int, list[Masquerade]]]:
    return ((family, [rule for rule in rules if rule.address.version == family]) for family in _families(rules))


def _attempt(remove: Callable[[], None]) -> None:
    try:
        remove()
    except KernelError as refused:
        if not (refused.gone or refused.unsupported):  # gone: another program removes them at this moment
            raise
