"""What the executable `loopback` consists of. VERSION is answered from here, without importing the rest."""

from __future__ import annotations

from cni.program import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.program import Verbs


def _verbs() -> Verbs:
    from main.loopback import plugin  # noqa: PLC0415 - VERSION must not pay for netlink and JSON

    return plugin.VERBS


PROGRAM = Program("loopback", _verbs, about="tulle loopback: brings the loopback device of a container up")
