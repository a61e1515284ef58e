"""What the executable `flannel` consists of. VERSION is answered from here, without importing the rest."""

from __future__ import annotations

from cni.program import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.program import Verbs


def _verbs() -> Verbs:
    from meta.flannel import plugin  # noqa: PLC0415 - VERSION must not pay for JSON and dataclasses

    return plugin.VERBS


PROGRAM = Program("flannel", _verbs, about="tulle flannel: runs another plugin with this host's share of the network")
