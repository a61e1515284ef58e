"""Reads CNI_ARGS, the runtime's free-form `KEY=value;KEY=value` (docs/reference/cni.md 1.9).

Most runtimes pass keys of their own together with IgnoreUnknown=1, which every program understands.
"""

from __future__ import annotations

from cni.errors import CniError, Code, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

IGNORE = "IgnoreUnknown"
TRUTHS = {"1": True, "true": True, "0": False, "false": False}


def parse(text: str, known: Collection[str]) -> dict[str, str]:
    """Return the values of the `known` keys in `text`; the last one counts, keys are case-sensitive.

    Raises CniError 4 for a piece that is not KEY=value, and for unknown keys unless IgnoreUnknown is 1 or true.
    """
    pairs = [_pair(piece) for piece in text.split(";")] if text else []
    unknown = [f"{key}={value}" for key, value in pairs if key != IGNORE and key not in known]
    ignored = [_truth(value) for key, value in pairs if key == IGNORE]
    if unknown and not (ignored and ignored[-1]):
        raise CniError(
            Code.INVALID_ENVIRONMENT,
            f"ARGS: unknown args [{' '.join(quoted(piece) for piece in unknown)}]",
            f"CNI_ARGS may hold {', '.join(sorted(known)) or 'nothing'} here: add {IGNORE}=1 to let other keys pass",
        )
    return {key: value for key, value in pairs if key in known}


def _pair(piece: str) -> tuple[str, str]:
    key, equals, value = piece.partition("=")
    if not equals or "=" in value:
        raise CniError(
            Code.INVALID_ENVIRONMENT,
            f"ARGS: invalid pair {quoted(piece)}",
            "CNI_ARGS is KEY=value pieces joined by semicolons, with no semicolon at the end and no = inside a value",
        )
    return key, value


def _truth(text: str) -> bool:
    if text.lower() not in TRUTHS:
        raise CniError(
            Code.INVALID_ENVIRONMENT, f"ARGS: invalid value {quoted(text)} of {IGNORE}", "write 1, true, 0 or false"
        )
    return TRUTHS[text.lower()]
