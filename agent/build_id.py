"""Which build this process runs, and whether its files have been replaced since.

A build is identified by the hash that `make build` writes beside the executable. After its files are replaced, a
process could not import any more, so the agent starts again.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

BUILD_BYTES = 32

Stamp = tuple[int, int, int]


class NoBuildError(Exception):
    """This is no built program; the text says what is missing and what to do."""


def build_file() -> Path:
    """Return the file that holds the hash: beside a frozen executable, else what `make build` left in dist/."""
    if getattr(sys, "frozen", False):
        return Path(sys.executable).resolve().with_name("build-id")
    return Path(__file__).resolve().parent.parent / "dist" / "lib" / "build-id"


@dataclass(frozen=True, slots=True)
class Build:
    """The build that runs: its number, and the files that must stay what they were."""

    number: bytes
    """The id of the build."""
    files: tuple[str, ...]
    """The files that must stay as they were."""
    stamps: tuple[Stamp | None, ...]
    """Their state at the start, in the same order; None for a missing one."""

    @classmethod
    def read(cls, path: Path) -> "Build":
        """Return the build whose hash `path` holds; NoBuildError when it holds none."""
        files = (str(path), sys.executable)
        stamps = tuple(map(_stamp, files))
        try:
            number = bytes.fromhex(path.read_text("ascii").strip())
        except (OSError, ValueError) as wrong:
            raise NoBuildError(f"{path}: {wrong}: `make build` writes it") from wrong
        if len(number) != BUILD_BYTES:
            raise NoBuildError(f"{path}: {len(number)} bytes instead of {BUILD_BYTES}: `make build` writes it")
        return cls(number, files, stamps)

    @property
    def folder(self) -> Path:
        """The folder of the executables."""
        return Path(self.files[0]).parent

    def is_replaced(self) -> bool:
        """Return whether another file stands where one of ours was; in the moment of an installation there may be none."""
        return any(
            now is not None and now != then for now, then in zip(map(_stamp, self.files), self.stamps, strict=True)
        )


def _stamp(path: str) -> Stamp | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - at every request; pathlib takes four times as long
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def command() -> list[str]:
    """Return the command line that starts this process anew; a frozen executable is its own interpreter."""
    return list(sys.argv if getattr(sys, "frozen", False) else sys.orig_argv)
