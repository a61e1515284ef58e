"""Reads prevResult, the result of the programs before this one in the chain."""

from __future__ import annotations

from contextlib import suppress

from cni.errors import CniError, Code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cni.request import Request
    from cni.types import Result


def required(request: Request, refusal: str) -> Result:
    """Return prevResult. Raises CniError 7, with the reference's text, when it is missing or invalid."""
    earlier = request.prev_result
    if earlier is None:
        raise missing(request, refusal)
    return earlier


def missing(request: Request, refusal: str) -> CniError:
    """Return the error for a request without prevResult, with the remedy for its verb."""
    remedy = f"list {request.config.text('type')} behind the program that makes the interface, in a configuration with plugins"
    if request.command == "CHECK":
        remedy = "CHECK compares with the result of ADD: pass it as prevResult"
    return CniError(Code.INVALID_CONFIG, refusal, remedy)


def handed_back(request: Request) -> Result | None:
    """Return prevResult as the runtime passed it on DEL; None when it is missing or cannot be read."""
    with suppress(CniError):
        return request.prev_result
    return None
