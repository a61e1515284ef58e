"""The program host-local: hands out addresses of ranges that belong to this host alone.

Import budget: the skeleton only; the verbs are loaded when one is asked for.
"""

from __future__ import annotations

from cni.program import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.program import Verbs


def _verbs() -> Verbs:
    from ipam import plugin  # noqa: PLC0415 - VERSION must not pay for the verbs

    return plugin.VERBS


PROGRAM = Program("host-local", _verbs, about="tulle host-local: addresses from ranges of this host")
