"""Reads the result of the programs before this one, as a chained program needs it. Must not know what is done with it."""

from __future__ import annotations

from contextlib import suppress

from cni.errors import CniError, Code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.request import Request
    from cni.types import Result


def required(request: Request, refusal: str) -> Result:
    """Return prevResult. Raises CniError 7 in the reference's words for a missing one, and for one that is none."""
    earlier = request.prev_result
    if earlier is None:
        raise missing(request, refusal)
    return earlier


def missing(request: Request, refusal: str) -> CniError:
    """Return the error of a request without prevResult, with the remedy that goes with its verb."""
    remedy = f"list {request.config.text('type')} behind the program that makes the interface, in a configuration with plugins"
    if request.command == "CHECK":
        remedy = "CHECK compares with the result of ADD: pass it as prevResult"
    return CniError(Code.INVALID_CONFIG, refusal, remedy)


def handed_back(request: Request) -> Result | None:
    """Return prevResult as far as the runtime hands it back on DEL; None for nothing, and for what cannot be read."""
    with suppress(CniError):
        return request.prev_result
    return None
