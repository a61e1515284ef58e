"""Compares the kernel with a plan. CHECK names the rules that are missing (docs/reference/cni.md 4.1, CHECK)."""

from __future__ import annotations

from cni.errors import CniError, Code
from kernel import sysctl
from meta.portmap import ports
from meta.portmap.rules import iptables as legacy
from meta.portmap.rules import nftables as modern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.netlink.handle import Handle
    from meta.portmap.plan import Publication

TOLD = 20
"""How many rules an error names. Thousands of ports would make it megabytes long."""


def check(plan: Publication, backend: str, host: Handle, *, ours: bool) -> None:
    """Raise CniError 102 naming the rules of `plan` that are missing in `backend`.

    If the attachment is not `ours` (nothing is recorded of it), only the rules that the reference makes must exist.
    """
    missing = _missing_modern(plan) if backend == "nftables" else _missing_legacy(plan, ours=ours)
    device = ports.localnet_device(plan, host)
    if device and sysctl.read(ports.localnet_key(device)) != "1":
        missing.append(f"sysctl {ports.localnet_key(device)} = 1")
    if missing:
        raise CniError(
            Code.CHECK_FAILED,
            f"port mappings of {plan.owner.alias} are incomplete, missing: {'; '.join(missing[:TOLD])}{_rest(missing)}",
            "a firewall reload may have flushed them: `tulle repair` makes them again",
        )


def _rest(missing: Sequence[str]) -> str:
    return f"; and {len(missing) - TOLD} more" if len(missing) > TOLD else ""


def _missing_legacy(plan: Publication, *, ours: bool) -> list[str]:
    missing = []
    for side in plan.sides:
        rules = legacy.missing(plan, side, ports.read_legacy(side.family))
        missing += [f"{_program(side.family)} -t {legacy.TABLE} {_shown(rule)}" for rule in rules]
    if ours and plan.from_loopback and not ports.guarded():
        missing.append(f"iptables -t {legacy.MARTIANS_TABLE} {_shown(legacy.MARTIANS)}")
    return missing


def _missing_modern(plan: Publication) -> list[str]:
    return [
        f"nftables {modern.shown(rule)}"
        for side in plan.sides
        for rule in modern.missing(plan, side, ports.read_modern(side.family))
    ]


def _program(family: int) -> str:
    return "iptables" if family == 4 else "ip6tables"


def _shown(rule: legacy.Rule) -> str:
    return " ".join(f'"{word}"' if " " in word else word for word in rule)
