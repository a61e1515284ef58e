"""What the executable `firewall` consists of. VERSION is answered from here, without importing the rest."""

from __future__ import annotations

from cni.program import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.program import Verbs


def _verbs() -> Verbs:
    from meta.firewall import plugin  # noqa: PLC0415 - VERSION must not pay for JSON and netlink

    return plugin.VERBS


PROGRAM = Program(
    "firewall", _verbs, about="tulle firewall: lets containers through the host's firewall, and keeps networks apart"
)
