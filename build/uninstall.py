"""Removes what `make install` made, and what `tulle init` wrote for the runtimes: afterwards the machine is as before.

Only what is ours is removed: links into our tree, units that begin as ours do, files as they were written. What a
person edited stays and is named. Services are not stopped, and the daemon's and the kernel's state stays: containers
may still be running.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from build.install import (
    FOLDERS,
    SAMPLE,
    SETTINGS,
    UNITS,
    Target,
    is_our_completion,
    is_our_link,
    is_our_page,
    is_our_unit,
    parse,
    reload_units,
)
from build.programs import BuildError
from cli.commands import init
from cli.setup.managed_files import ManagedFiles, NotOurs

STATE = ("/var/lib/tulle", "/run/tulle", "/etc/tulle")
"""What daemon, agent and people store. It does not belong to the installation, so it stays."""


def uninstall(target: Target) -> bool:
    """Remove everything of ours. Return False when something edited stays. A second run finds nothing to do."""
    whole = init.undo(ManagedFiles(target.destdir), dry=False) == 0
    folders = _folders(target)
    for place in [*_links(target), *_completions(target), *_manual(target), *_units(target)]:
        target.staged(place).unlink()
        print(f"uninstall: {place}")
    reload_units(target)
    whole = _settings(target) and whole
    for tree in (target.tree, *(target.tree.with_name(f"tulle.{kind}") for kind in ("new", "old"))):
        if target.staged(tree).exists():
            shutil.rmtree(target.staged(tree))
            print(f"uninstall: {tree}")
    for folder in (*folders, Path(STATE[0])):
        _drop(target.staged(folder))
    return whole


def _links(target: Target) -> Iterator[Path]:
    """Yield every link into our tree where programs are looked for, also those of an earlier version's programs."""
    for folder in sorted({place.parent for place in target.links()}):
        staged = target.staged(folder)
        names = sorted(one.name for one in staged.iterdir()) if staged.is_dir() else []
        yield from (folder / name for name in names if is_our_link(target, folder / name))


def _completions(target: Target) -> Iterator[Path]:
    for place in target.completions:
        if target.staged(place).exists() and is_our_completion(target.staged(place)):
            yield place


def _manual(target: Target) -> Iterator[Path]:
    """Yield every page of ours, also those of an earlier version."""
    for folder in sorted({place.parent for place in target.manual}):
        found = sorted(one.name for one in target.staged(folder).glob("tulle*.gz"))
        yield from (folder / name for name in found if is_our_page(target.staged(folder / name)))


def _units(target: Target) -> Iterator[Path]:
    folder = target.prefix / "lib" / "systemd" / "system"
    for unit in (folder / name for name in UNITS):
        if target.staged(unit).exists() and is_our_unit(target.staged(unit)):
            yield unit


def _settings(target: Target) -> bool:
    """Remove the daemon's settings if nobody changed the sample. Return whether none are left."""
    staged = target.staged(SETTINGS)
    if not staged.exists():
        return True
    if staged.read_bytes() != SAMPLE.read_bytes():
        print(f"uninstall: {SETTINGS} was edited and stays; remove it by hand", file=sys.stderr)
        return False
    staged.unlink()
    print(f"uninstall: {SETTINGS}")
    return True


def _folders(target: Target) -> list[Path]:
    listed = target.staged(target.tree) / FOLDERS
    return [Path(line) for line in listed.read_text().splitlines()] if listed.is_file() else []


def _drop(folder: Path) -> None:
    """Remove a directory that the installation made, unless another program put something into it."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def main() -> int:
    """Uninstall as asked, and return the exit code."""
    try:
        target, _ = parse(sys.argv[1:], "make uninstall", __doc__)
        whole = uninstall(target)
    except (BuildError, NotOurs, OSError) as error:
        print(f"uninstall: {error}", file=sys.stderr)
        return 1
    for path in (one for one in STATE if target.staged(Path(one)).exists()):
        print(f"uninstall: {path} stays: it is the daemon's and yours; rm -r {path} when no container needs it")
    return 0 if whole else 1


if __name__ == "__main__":
    raise SystemExit(main())
