"""Knows the programs of our own build by the files that start them: a delegate among them needs no process of its own.

A file is ours when it is the very one that was there when this process began. One that was replaced since belongs to another
build and is executed; its time of change tells it from an old one whose inode it was given. Must not import programs, whoever
starts the process hands in the table; on the VERSION path, so no imports but os.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cni.program import Program

    Identity = tuple[int, int, int]


class InProcessPrograms:
    """The programs that may run in this process: `programs` is name -> how to load one, `files` are what starts them all.

    A file starts the program that its name in the plugin directory says, as a multi-call executable does; a file that is not
    there starts nothing.
    """

    __slots__ = ("_files", "_programs")

    def __init__(self, programs: Mapping[str, Callable[[], Program]], files: Iterable[str]) -> None:
        self._programs = programs
        self._files = {identity for file in files if (identity := _identity(file))}

    def __call__(self, path: str) -> Program | None:
        """Return the program that executing `path` would start, None when it is not of this build."""
        load = self._programs.get(os.path.basename(path))  # noqa: PTH119 - pathlib costs milliseconds
        return load() if load and _identity(path) in self._files else None


def _identity(path: str) -> Identity | None:
    """Return device, inode and time of change of the file at `path`, links followed; None when there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - pathlib costs milliseconds
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_ctime_ns
