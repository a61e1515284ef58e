"""Keeps the masquerade rules in the kernel through the backend that is configured or, without one, works.

Which one ADD took is written down nowhere: whoever looks or removes does it in both. Where a backend does not work there
is nothing of it to remove. What the rules say is bridge.masquerade's.
"""

from collections.abc import Callable, Collection, Iterable

from bridge.masquerade import iptables as legacy
from bridge.masquerade import nftables as modern
from bridge.plan import Attachment, Masquerade
from cni.attachment_id import AttachmentID, network_mark
from cni.errors import CniError, Code
from cni.types import IPAddress
from kernel.errors import KernelError
from kernel.firewall import choose as backends
from kernel.firewall import iptables, nft

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
    """Have the plan's masquerade rules stand: one transaction, with iptables one for each family."""
    if not plan.masquerade:
        return
    if backends.choose(plan.masquerade_backend, _families(plan.masquerade)) == "nftables":
        _add_modern(plan)
        return
    for family, rules in _by_family(plan.masquerade):
        _add_legacy(family, plan.owner, rules)


def _add_legacy(family: int, owner: AttachmentID, rules: list[Masquerade]) -> None:
    """Add without a look at what is there; what was refused did nothing, as for a second interface of the container: then look."""
    try:
        _carry_out(family, legacy.first(owner, rules))
    except KernelError:
        _carry_out(family, legacy.addition(owner, rules, iptables.listing(family, legacy.TABLE)))


def _add_modern(plan: Attachment) -> None:
    """Add to what is there, and look again when another program removed that in between."""
    try:
        nft.run(modern.addition(plan.owner, plan.masquerade, _modern_rules()))
    except KernelError as refused:
        if not refused.gone:
            raise
        nft.run(modern.addition(plan.owner, plan.masquerade, _modern_rules()))


def missing(plan: Attachment) -> bool:
    """Tell whether rules of the plan are missing in the configured backend; without one, in either."""
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
    """Remove the container's iptables rules: all, or (`own_addresses` returns some) those for them; none is success.

    The listing finds what refers to the container's chain, so no address has to be known (docs/reference/cni.md 6, row 2), nor asked
    for where there is no such chain.
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
    """Remove every iptables chain of `network` that belongs to none of the `known` containers, one change a family."""
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
