"""What a program is, told without importing it. Must not know how one is served; on the VERSION path, so no imports."""

from __future__ import annotations

from cni.versions import SUPPORTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cni.request import Request
    from cni.types import Result

    Verbs = Mapping[str, Callable[[Request], Result | None]]


class Program:
    """What a program is: a name, the versions it speaks, words about itself, and how to load what each verb does.

    `load` returns a function a verb and is called only when one is needed; a verb it lacks succeeds without doing
    anything (docs/reference/cni.md 1.3). A plain class, because importing dataclasses costs more than the rest of VERSION.
    """

    __slots__ = ("about", "load", "name", "versions")

    def __init__(
        self, name: str, load: Callable[[], Verbs], *, versions: tuple[str, ...] = SUPPORTED, about: str = ""
    ) -> None:
        self.name = name
        self.load = load
        self.versions = versions
        self.about = about
