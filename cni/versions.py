"""The specification versions, as a table: the format of results and the verbs of each.

Nothing is imported: VERSION is answered with it, in the time that the interpreter needs to start.
"""

SUPPORTED: tuple[str, ...] = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
NEWEST = SUPPORTED[-1]
OLDEST = SUPPORTED[0]

FAMILIES: tuple[frozenset[str], ...] = (
    frozenset({"0.1.0", "0.2.0"}),
    frozenset({"0.3.0", "0.3.1", "0.4.0"}),
    frozenset({"1.0.0", "1.1.0"}),
)
"""Versions whose results have the same shape; prevResult must come from the config's own family."""

VERB_SINCE: dict[str, str] = {"CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"}
"""The first version that knows a verb; ADD, DEL and VERSION were always there."""


def parse(text: str) -> tuple[int, int, int]:
    """Read `major[.minor[.micro]]`; the empty string is 0.1.0 and missing parts are 0 (docs/reference/cni.md 1.3).

    Raises ValueError when a part is no whole number or there are more than three.
    """
    parts = (text or OLDEST).split(".")
    if len(parts) > 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"invalid version {text!r}: expected up to three numbers joined by dots, like 1.0.0")
    major, minor, micro = (int(part) for part in [*parts, "0", "0"][:3])
    return major, minor, micro


def family(version: str) -> frozenset[str]:
    """Return the versions whose results look like those of `version`; ValueError for one nobody knows."""
    for members in FAMILIES:
        if version in members:
            return members
    raise ValueError(f"unknown CNI version {version!r}: known are {', '.join(SUPPORTED)}")
