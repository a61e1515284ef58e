"""What the executable `bridge` consists of. VERSION is answered from here, without importing the rest."""

from __future__ import annotations

from cni.program import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.program import Verbs


def _verbs() -> Verbs:
    from bridge import plugin  # noqa: PLC0415 - VERSION must not pay for netlink and JSON

    return {
        "ADD": plugin.add,
        "CHECK": plugin.check_attachment,
        "DEL": plugin.delete,
        "GC": plugin.collect,
        "STATUS": plugin.status,
    }


PROGRAM = Program("bridge", _verbs, about="tulle bridge: connects containers to a bridge on the host")
