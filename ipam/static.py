"""The CNI program `static`: answers with the addresses in the configuration, or from the runtime, and stores nothing.

Only the skeleton is imported here; a verb imports the rest when it is called.
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
