"""Freezes the programs: dist/lib has one executable, a Python and every module, and needs no Python and no checkout.

PyInstaller does it (build/tulle.spec). The tree is kept as long as nothing from which it was made has changed; a new
tree replaces it by a rename. A process that runs from the old tree then fails at its next import, so long-running ones
import everything when they start.
"""

import hashlib
import shutil
import subprocess  # noqa: TID251 - the build runs PyInstaller
import sys
import sysconfig
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from build.launcher import make as launcher
from build.programs import EXECUTABLE, LAUNCHER, PACKAGES, PROGRAMS, ROOT, BuildError
from catalogue import CNI

WORK = ROOT / ".build"
"""What only the build needs between two runs. It is no part of dist/."""

NOTE = WORK / "made-from"
"""The recipe and the id of the last tree that passed its tests."""

BUILD_ID = "build-id"

EXCLUDED = ("doctest", "google", "lib2to3", "pdb", "pydoc", "setuptools", "tkinter", "unittest")
"""Modules that are only imported by code which no program of ours reaches."""


def inputs() -> Iterator[Path]:
    """Yield every file from which, or by which, the frozen tree is made, except Python and the pinned packages."""
    for package in (*PACKAGES, "build"):
        yield from (path for path in sorted((ROOT / package).rglob("*")) if path.is_file() and path.suffix != ".pyc")
    yield from sorted((ROOT / "requirements").glob("*.txt"))
    yield ROOT / "pyproject.toml"


def library() -> Path:
    """Return Python's shared library: when it changes, a new tree is needed."""
    return Path(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME"))


def digest(paths: Iterable[Path], root: Path) -> str:
    """Return 64 hex digits that change with any path below `root`, its content, its mode or the target of a link."""
    whole = hashlib.sha256()
    for path in paths:
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        mode = path.lstat().st_mode
        whole.update(f"{path.relative_to(root)} {mode:o} {len(content)}\n".encode() + content)
    return whole.hexdigest()


def recipe() -> str:
    """Return 64 hex digits that change when the tree would."""
    seen = library().stat()
    told = f"{digest(inputs(), ROOT)} {sys.version} {seen.st_size} {seen.st_mtime_ns}"
    return hashlib.sha256(told.encode()).hexdigest()


def build_id(tree: Path) -> str:
    """Return the id of a tree.

    A hash of all its files except the one with the id, and the launcher, which contains it.
    """
    left_out = {tree / BUILD_ID, tree / LAUNCHER}
    return digest(sorted(path for path in tree.rglob("*") if not path.is_dir() and path not in left_out), tree)


def metadata() -> Path:
    """Write what importlib.metadata reads, so that a frozen program knows its version. Return the directory."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    folder = WORK / f"tulle-{version}.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tulle\nVersion: {version}\n")
    return folder


def is_current(lib: Path) -> bool:
    """Return whether the tree at `lib` was made from the present files, and passed its tests."""
    made = lib / BUILD_ID
    return made.exists() and NOTE.exists() and NOTE.read_text() == f"{recipe()} {made.read_text()}"


def make(lib: Path) -> None:
    """Make the tree at `lib` anew. Raises BuildError when PyInstaller fails."""
    NOTE.unlink(missing_ok=True)
    fresh = WORK / "dist" / "lib"
    _freeze(fresh)
    _finish(fresh)
    _swap(fresh, lib)


def found_good(lib: Path) -> None:
    """Record from what the tree at `lib` was made, so that it is kept."""
    NOTE.write_text(f"{recipe()} {(lib / BUILD_ID).read_text()}")


def _freeze(fresh: Path) -> None:
    """Run PyInstaller. Its working directory stays, which makes the next run quicker."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN"),
            *("--distpath", fresh.parent, "--workpath", WORK / "work", ROOT / "build" / "tulle.spec"),
        ],
        cwd=ROOT,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYINSTALLER_CONFIG_DIR": str(WORK / "cache")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildError(f"PyInstaller failed (exit {done.returncode}):\n{done.stderr}{done.stdout}")


def _finish(fresh: Path) -> None:
    """Add what PyInstaller does not make.

    Helpers' names, CNI programs for the driver, the id, and the launcher with it.
    """
    (fresh / "cni").mkdir()
    for name in CNI:
        (fresh / "cni" / name).symlink_to(f"../{EXECUTABLE}")
    for program in PROGRAMS:
        if program.folder == "lib":
            (fresh / program.name).symlink_to(EXECUTABLE)
    identity = build_id(fresh)
    (fresh / BUILD_ID).write_text(f"{identity}\n")
    launcher.compiled(fresh / LAUNCHER, launcher.facts([program.load() for program in CNI.values()], identity))


def _swap(fresh: Path, lib: Path) -> None:
    """Put a new tree in the place of the old one."""
    old = WORK / "old"
    shutil.rmtree(old, ignore_errors=True)
    lib.parent.mkdir(exist_ok=True)
    if lib.exists():
        lib.rename(old)
    fresh.rename(lib)
    shutil.rmtree(old, ignore_errors=True)
