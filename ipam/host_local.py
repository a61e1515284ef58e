"""The CNI program `host-local`: gives out addresses of ranges that belong to this host alone.

Only the skeleton is imported here; a verb imports the rest when it is called.
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
