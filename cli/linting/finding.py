"""What `tulle lint` finds: one mistake each, with its place in the document.

A place is the list of keys and indexes from the root of the document.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeGuard

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake in one file."""

    place: Place
    problem: str  # what is wrong
    remedy: str  # what to do about it
    warning: bool = False
    """Whether the file works nevertheless, or may work."""

    @property
    def path(self) -> str:
        """The place as a JSON path, such as $.plugins[0].ipam.ranges[0][1].subnet."""
        return "$" + "".join(_step(step) for step in self.place)


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if step.isidentifier() else f"['{step}']"


def related(one: Place, other: Place) -> bool:
    """Return whether one place is the other, or is inside it."""
    short, long = sorted((one, other), key=len)
    return long[: len(short)] == short


class Thinned(list[Any]):
    """A list from which elements were removed. `origins` are the original indexes of the others."""

    def __init__(self, elements: Iterable[Any], origins: Iterable[int]) -> None:
        super().__init__(elements)
        self.origins = list(origins)


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Return whether a decoded JSON value is an object."""
    return isinstance(value, dict)


def copied(value: Any) -> Any:
    """Return a copy of a decoded JSON value whose lists store the original indexes of their elements."""
    if is_object(value):
        return {key: copied(member) for key, member in value.items()}
    if isinstance(value, list):
        return Thinned(map(copied, value), range(len(value)))
    return value


def take_out(document: Any, place: Place) -> bool:
    """Remove the value at `place` of the original document. Return False if there is none to remove.

    If the value is gone already, its container is removed, but never the document itself. A list that loses its last
    element is removed as well: an empty list would be a mistake that nobody made.
    """
    parents: list[tuple[Any, str | int]] = []
    value = document
    for step in place:
        if not _holds(value, step):
            break
        parents.append((value, step))
        value = value[_now(value, step)]
    if not parents:
        return False
    for holder, step in reversed(parents):
        at = _now(holder, step)
        if isinstance(holder, Thinned):
            del holder.origins[at]
        del holder[at]
        if holder or not isinstance(holder, Thinned):
            break
    return True


def as_written(document: Any, place: Place) -> Place:
    """Return the original place of what is at `place` now."""
    written: list[str | int] = []
    value = document
    for step in place:
        known = isinstance(value, Thinned) and isinstance(step, int) and step < len(value)
        written.append(value.origins[step] if known else step)
        value = value[step] if known or (is_object(value) and step in value) else None
    return tuple(written)


def _holds(value: Any, step: str | int) -> bool:
    return step in value.origins if isinstance(value, Thinned) else is_object(value) and step in value


def _now(holder: Any, step: str | int) -> Any:
    return holder.origins.index(step) if isinstance(holder, Thinned) and isinstance(step, int) else step
