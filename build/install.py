"""Installs the frozen tree as PREFIX/lib/tulle, and links to it where programs are looked for.

Every file in the way is found before anything is written, and a file that this installer did not make is replaced only
with --replace. Services are not started, and nobody's configuration is edited; samples are copied only where no file
has their name. `tulle init` makes the network known to runtimes, and build/uninstall.py removes everything again.
"""

import argparse
import gzip
import os
import shutil
import subprocess  # noqa: TID251 - asks systemd to read what was installed
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from build import completions
from build.manual import sources
from build.programs import PROGRAMS, ROOT, BuildError, Program, answer, link
from system import locks

SETTINGS = Path("/etc/default/tulled")
SAMPLE = ROOT / "build" / "systemd" / "tulled.default"
FOLDERS = "folders"
"""The file in our tree with the directories that an installation made, so that they can be removed with it."""

LOCK_SECONDS = 300
"""How long one installation waits for another one, which copies some thousand files."""

UNITS = ("tulled.service", "tulle-agent.socket", "tulle-agent.service")
BOOTED = Path("/run/systemd/system")
"""Exists while systemd manages the machine (sd_booted(3))."""

UNIT_MARK = "# Part of tulle:"
"""The beginning of each of our units."""

HEAD = 100
"""In how many bytes of a file its mark must be."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where things are installed.

    The units are also installed without `systemd`, if systemd runs or PREFIX has a directory of units already.
    """

    prefix: Path
    cni_bin: Path
    destdir: Path  # put before every path that is written, never into what is written
    systemd: bool = False  # install the units

    @property
    def tree(self) -> Path:
        """The directory that is ours alone."""
        return self.prefix / "lib" / "tulle"

    @property
    def units(self) -> list[Path]:
        """The directory of the units; empty for none."""
        folder = self.prefix / "lib" / "systemd" / "system"
        wanted = self.systemd or any(self.staged(one).is_dir() for one in (folder, BOOTED))
        return [folder / name for name in UNITS] if wanted else []

    @property
    def completions(self) -> dict[Path, str]:
        """The shells' completions, by path."""
        return {self.prefix / place: spell(command) for place, (spell, command) in completions.places().items()}

    @property
    def manual(self) -> dict[Path, sources.Page]:
        """The manual's pages, by path."""
        return {self.prefix / page.place: page for page in sources.pages()}

    def staged(self, path: Path) -> Path:
        """Return where a path is during the installation."""
        return self.destdir / path.relative_to("/")

    def path(self, program: Program) -> Path:
        """Return where people and runtimes find a program."""
        folders = {
            "cni": self.cni_bin,
            "bin": self.prefix / "bin",
            "netavark": self.prefix / "libexec" / "netavark",
            "lib": self.tree,
        }
        return folders[program.folder] / program.name

    def links(self) -> dict[Path, Path]:
        """Return link -> program.

        CNI programs in the plugin directory, commands in PREFIX/bin, the driver for Podman.
        """
        return {self.path(program): self.tree / program.target for program in PROGRAMS if program.folder != "lib"}


def foreign(target: Target) -> list[Path]:
    """Return what is in the way and was not made here: all but links into our tree, and our own files."""
    found = [
        place for place in target.links() if os.path.lexists(target.staged(place)) and not is_our_link(target, place)
    ]
    told = [place for place in target.completions if not is_our_completion(target.staged(place))]
    told += [place for place in target.manual if not is_our_page(target.staged(place))]
    return [*found, *told, *(unit for unit in target.units if not is_our_unit(target.staged(unit)))]


def is_our_link(target: Target, place: Path) -> bool:
    """Return whether a link into our tree is at `place`."""
    staged = target.staged(place)
    return staged.is_symlink() and staged.readlink().is_relative_to(target.tree)


def is_our_unit(path: Path) -> bool:
    """Return whether a unit may be written to `path`: nothing is there, or what an earlier installation wrote."""
    return _is_ours(path, UNIT_MARK)


def is_our_completion(path: Path) -> bool:
    """Return the same for a completion."""
    return _is_ours(path, completions.MARK)


def is_our_page(path: Path) -> bool:
    """Return the same for a manual's page."""
    return _is_ours(path, sources.MARK, _unpacked)


def _unpacked(content: bytes) -> bytes:
    """Return the text of compressed content; nothing if it is not compressed."""
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return b""


def _is_ours(path: Path, mark: str, read: Callable[[bytes], bytes] = bytes) -> bool:
    if not os.path.lexists(path):
        return True
    return path.is_file() and not path.is_symlink() and mark in read(path.read_bytes())[:HEAD].decode(errors="replace")


def made_folders(target: Target) -> list[Path]:
    """Return the directories that this installation makes or an earlier one made, the deepest first."""
    files = [target.tree, *target.links(), *target.completions, *target.manual, *target.units]
    files += [SETTINGS] if target.units else []
    missing = {one for file in files for one in file.parents if not target.staged(one).exists()}
    earlier = target.staged(target.tree) / FOLDERS
    if earlier.is_file():
        missing |= {Path(line) for line in earlier.read_text().splitlines()}
    return sorted(missing, key=lambda one: len(one.parts), reverse=True)


def make_tree(target: Target, lib: Path = ROOT / "dist" / "lib", folders: Sequence[Path] = ()) -> None:
    """Copy the frozen tree `lib` beside the old one, swap them, and record `folders`.

    A runtime finds one or the other.
    """
    tree = target.staged(target.tree)
    fresh, old = tree.with_name("tulle.new"), tree.with_name("tulle.old")
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(lib, fresh, symlinks=True)
    (fresh / FOLDERS).write_text("".join(f"{one}\n" for one in folders))
    if tree.exists():
        tree.rename(old)
    fresh.rename(tree)
    shutil.rmtree(old, ignore_errors=True)


def make_links(target: Target) -> None:
    """Make every link lead to its program, each by a rename."""
    for place, program in target.links().items():
        link(target.staged(place), str(program))
        print(f"install: {place} -> {program}")


def make_units(target: Target) -> None:
    """Write the units for this PREFIX, with a sample of the daemon's settings. They are not started."""
    for unit in target.units:
        text = (ROOT / "build" / "systemd" / unit.name).read_text()
        _put(target.staged(unit), text.replace("/usr/local/", f"{target.prefix}/").encode())
        print(f"install: {unit}")
    if target.units:
        offer(target, SAMPLE, SETTINGS)


def reload_units(target: Target, booted: Path = BOOTED) -> None:
    """Make a running systemd read the units again, unless they were only staged: else it uses the old ones."""
    manager = shutil.which("systemctl")
    if not target.units or target.destdir.relative_to("/").parts or not booted.is_dir() or manager is None:
        return
    done = subprocess.run([manager, "daemon-reload"], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"install: systemctl daemon-reload: {done.stderr.strip()}: run it yourself", file=sys.stderr)


def make_completions(target: Target) -> None:
    """Write the shells' completions."""
    for place, text in target.completions.items():
        _put(target.staged(place), text.encode())
    print(f"install: completions for bash, zsh and fish below {target.prefix}/share")


def spelled(target: Target) -> dict[Path, bytes]:
    """Return the manual's pages, compressed, the same bytes in every run. Raises BuildError for a wrong source."""
    return {place: gzip.compress(page.text().encode(), 9, mtime=0) for place, page in target.manual.items()}


def make_manual(target: Target, pages: Mapping[Path, bytes]) -> None:
    """Write the manual's pages."""
    for place, content in pages.items():
        _put(target.staged(place), content)
    print(f"install: manual pages below {target.prefix}/share/man: man tulle")


def _put(staged: Path, content: bytes) -> None:
    """Write a file that everybody may read, by a rename."""
    staged.parent.mkdir(parents=True, exist_ok=True)
    fresh = staged.with_name(f".{staged.name}.new")
    fresh.write_bytes(content)
    fresh.chmod(0o644)
    fresh.replace(staged)


def offer(target: Target, sample: Path, place: Path) -> None:
    """Copy a sample unless a file of that name exists: it may have been edited."""
    staged = target.staged(place)
    if os.path.lexists(staged):
        print(f"install: {place} is there already and stays as it is")
        return
    staged.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(sample, staged)
    print(f"install: {place}")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of an installation. Raises BuildError when another one does not end."""
    try:
        with FileLock(path, timeout=LOCK_SECONDS, mode=0o600):
            yield
    except Timeout:
        raise BuildError(
            f"{path}: held by {locks.lock_owner(str(path))} for {LOCK_SECONDS} s: another installation"
        ) from None


def install(target: Target, *, replace: bool) -> None:
    """Install everything.

    Raises BuildError, before anything is written, if that would replace other programs' files.
    """
    in_the_way = foreign(target)
    if in_the_way and not replace:
        names = ", ".join(map(str, in_the_way))
        raise BuildError(
            f"{names}: not made by this installer. REPLACE=1 replaces them; CNI_BIN=DIR installs elsewhere"
        )
    folders, pages = made_folders(target), spelled(target)
    parent = target.staged(target.tree).parent
    parent.mkdir(parents=True, exist_ok=True)
    with _alone(parent / ".tulle.lock"):
        make_tree(target, folders=folders)
        make_links(target)
        make_completions(target)
        make_manual(target, pages)
        make_units(target)
    reload_units(target)
    (parent / ".tulle.lock").unlink(missing_ok=True)
    if not target.destdir.relative_to("/").parts:
        for program in PROGRAMS:
            answer(program, target.path(program))
    print(
        "install: next: tulle join with the addresses of all hosts; then tulle init makes the network known to container runtimes"
    )


def parse(arguments: Sequence[str], prog: str = "make install", about: str | None = __doc__) -> tuple[Target, bool]:
    """Return the target, and whether other programs' files may be replaced."""
    parser = argparse.ArgumentParser(prog=prog, description=about)
    parser.add_argument("--prefix", type=Path, default=Path("/usr/local"))
    parser.add_argument("--cni-bin", type=Path, default=Path("/opt/cni/bin"))
    parser.add_argument("--destdir", default="")
    parser.add_argument("--replace", action="store_true")
    parser.add_argument("--systemd", action="store_true")
    given = parser.parse_args(arguments)
    for option, path in (("PREFIX", given.prefix), ("CNI_BIN", given.cni_bin)):
        if not path.is_absolute():
            raise BuildError(f"{option}={path} is not an absolute path")
    destdir = Path(given.destdir or "/").absolute()
    return Target(given.prefix, given.cni_bin, destdir, given.systemd), given.replace


def main() -> int:
    """Install as asked, and return the exit code."""
    try:
        target, replace = parse(sys.argv[1:])
        install(target, replace=replace)
    except (BuildError, OSError) as error:
        print(f"install: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
