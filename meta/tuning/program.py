"""What the executable `tuning` consists of. VERSION is answered from here, without importing the rest."""

from __future__ import annotations

from cni.program import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.program import Verbs


def _verbs() -> Verbs:
    from meta.tuning import plugin  # noqa: PLC0415 - VERSION must not pay for JSON and netlink

    return plugin.VERBS


PROGRAM = Program(
    "tuning", _verbs, about="tulle tuning: sets kernel parameters and properties of a container's interface"
)
