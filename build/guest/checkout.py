"""The guest's second disk: this checkout as it is here, committed or not, at the same path, and pytest's arguments.

It is made anew for every run, quickly. The Python packages are on the system's disk, with a link to them.
"""

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from build.guest import image
from build.guest.system import SITE

LEFT_OUT = (".git", ".venv", ".build", ".guest", ".demo", ".*_cache", ".hypothesis", ".import_linter*")
START = ".guest-start"


def start(root: Path, arguments: Sequence[str], columns: int, *, colour: bool) -> str:
    """Return the shell lines that tell the guest where it is and what to run."""
    settings = {"checkout": str(root), "color": "yes" if colour else "no", "COLUMNS": str(columns)}
    lines = [f"{name}={shlex.quote(value)}" for name, value in settings.items()]
    return "\n".join([*lines, "export COLUMNS", f"set -- {shlex.join(arguments)}", ""])


def stage(root: Path, tree: Path, site: Path) -> None:
    """Copy the sources below `tree`, with an environment that uses the system disk's packages.

    Owners are not copied.
    """
    shutil.copytree(root, tree, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
    environment = tree / ".venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin/python").symlink_to("/usr/bin/python3")
    shutil.copy(root / ".venv/pyvenv.cfg", environment)
    packages = environment / site.relative_to(root / ".venv")
    packages.parent.mkdir(parents=True)
    packages.symlink_to(f"/{SITE}")


def make(disk: Path, root: Path, site: Path, told: str) -> None:
    """Write the disk."""
    tree = disk.with_suffix(".tree")
    shutil.rmtree(tree, ignore_errors=True)
    try:
        stage(root, tree, site)
        (tree / START).write_text(told)
        image.make(tree, disk)
    finally:
        shutil.rmtree(tree, ignore_errors=True)
