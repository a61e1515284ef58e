"""The program static: answers with the addresses the configuration or the runtime names, and remembers nothing.

Import budget: the skeleton only; the verbs are loaded when one is asked for.
"""

from __future__ import annotations

from cni.program import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.program import Verbs


def _verbs() -> Verbs:
    from ipam import static_addresses  # noqa: PLC0415 - VERSION must not pay for the verbs

    return static_addresses.VERBS


PROGRAM = Program("static", _verbs, about="tulle static: addresses as they are configured")
