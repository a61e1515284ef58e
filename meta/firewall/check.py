"""Compares the kernel with a plan. CHECK names every rule that is missing (docs/reference/cni.md 4.2, CHECK).

Unlike the reference it makes no chain.
"""

from __future__ import annotations

from cni.errors import CniError, Code
from meta.firewall import forward_rules
from meta.firewall.rules import iptables as legacy
from meta.firewall.rules import nftables as modern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cni.types import Result
    from kernel.netlink.handle import Handle
    from meta.firewall.plan import Passage

PROGRAMS = {4: "iptables", 6: "ip6tables"}


def check(plan: Passage, backend: str, earlier: Result, host: Handle, unbound: Sequence[str]) -> None:
    """Raise CniError 102 naming every rule of `plan` that is missing in `backend`, and what is `unbound`.

    With an empty `backend` no rule has to exist.
    """
    missing = list(unbound)
    if backend:
        missing += (_missing_modern if backend == "nftables" else _missing_legacy)(plan)
    missing += [f"isolated on port {link.name}" for link in forward_rules.open_ports(plan, earlier, host)]
    if missing:
        raise CniError(
            Code.CHECK_FAILED,
            f"firewall rules of {plan.owner.alias} are incomplete, missing: {'; '.join(missing)}",
            "a firewall reload may have flushed them: `tulle repair` makes them again",
        )


def _missing_legacy(plan: Passage) -> list[str]:
    return [
        f"{PROGRAMS[family]} {_shown(rule)}"
        for family in plan.families
        for rule in legacy.missing(plan, family, forward_rules.read_legacy(family))
    ]


def _missing_modern(plan: Passage) -> list[str]:
    return [f"nftables {modern.shown(rule)}" for rule in modern.missing(plan, forward_rules.read_modern())]


def _shown(rule: legacy.Rule) -> str:
    return " ".join(f'"{word}"' if " " in word else word for word in rule)
