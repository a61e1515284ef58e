"""What the executable `bandwidth` consists of. VERSION is answered from here, without importing the rest."""

from __future__ import annotations

from cni.program import Program
from cni.versions import SUPPORTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.program import Verbs

VERSIONS = SUPPORTED[SUPPORTED.index("0.3.0") :]
"""Results before 0.3.0 have no interfaces, which this program needs (docs/reference/cni.md 1.4)."""


def _verbs() -> Verbs:
    from meta.bandwidth import plugin  # noqa: PLC0415 - VERSION must not pay for JSON and netlink

    return plugin.VERBS


PROGRAM = Program(
    "bandwidth", _verbs, versions=VERSIONS, about="tulle bandwidth: limits what a container sends and receives"
)
