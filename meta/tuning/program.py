"""What the executable `tuning` is made of, told without importing it: VERSION is answered from here alone."""

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
