"""Reads which kernel parameters the host's administrator lets networks change (docs/reference/cni.md 4.4).

One regular expression per line, searched anywhere in the key as the configuration writes it. Without the file
everything is allowed. The expressions are Python's: one that only the reference's library knows is refused.
"""

from __future__ import annotations

import re

from cni.errors import CniError, Code, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PATH = "/etc/cni/tuning/allowlist.conf"


def check(keys: Iterable[str], path: str = "") -> None:
    """Raise CniError 7 for the first key that no line allows, and for a wrong expression; 5 for an unreadable file."""
    place = path or PATH
    lines = _lines(place)
    if lines is None:
        return
    patterns = [_pattern(line, place) for line in lines if line]
    for key in keys:
        if not any(pattern.search(key) for pattern in patterns):
            raise CniError(
                Code.INVALID_CONFIG,
                f"sysctl {quoted(key)} is not allowed on this host",
                f"{place} has no line that matches it: add one, such as ^{re.escape(key)}$",
            )


def _lines(path: str) -> list[str] | None:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs milliseconds that every start would pay
            return [line.strip() for line in file]
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CniError(
            Code.IO_FAILURE, f"reading {path}: {error}", "make it a text file that root can read, or remove it"
        ) from error


def _pattern(line: str, path: str) -> re.Pattern[str]:
    if "[:" in line:
        raise _refusal(line, path, "classes like [:alpha:] are not known here")
    try:
        return re.compile(line, re.ASCII)
    except re.error as wrong:
        raise _refusal(line, path, str(wrong)) from wrong


def _refusal(line: str, path: str, why: str) -> CniError:
    return CniError(
        Code.INVALID_CONFIG, f"{path}: {quoted(line)} is no regular expression: {why}", "correct or remove the line"
    )
