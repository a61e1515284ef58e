"""Makes the programs that people and runtimes start.

Dist/cni/NAME, dist/bin/NAME and dist/netavark/tulle (`make build`).

Each is a link. A command leads to the frozen executable, which build/freeze.py makes and in which build/entry.py finds
the program by its name; a CNI program leads to the launcher beside it. Each is then started as a runtime would do it,
where no Python can be reached.
"""

import json
import shlex
import shutil
import subprocess  # noqa: TID251 - the build tries what it built
import sys
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from build import entry
from catalogue import CNI

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "agent",
    "bridge",
    "catalogue",
    "cli",
    "cni",
    "conf",
    "driver",
    "ipam",
    "kernel",
    "lease",
    "main",
    "meta",
    "overlay",
    "system",
)
EXECUTABLE = "tulle"
"""The one executable, below dist/lib."""

LAUNCHER = "launcher"
"""What runtimes start: it asks the agent, or starts the executable beside it."""


@dataclass(frozen=True, slots=True)
class Program:
    """One name of the executable."""

    folder: str  # cni, bin, netavark, or lib for what only our programs start
    name: str

    @property
    def place(self) -> str:
        """The path below dist/."""
        return f"{self.folder}/{self.name}"

    @property
    def target(self) -> str:
        """The link's target, below dist/lib or below the installed tree."""
        return LAUNCHER if self.folder == "cni" else EXECUTABLE


PROGRAMS = (
    *(Program("cni", name) for name in CNI),
    *(Program("bin", name) for name in entry.COMMANDS),
    Program("netavark", "tulle"),
    *(Program("lib", name) for name in entry.HELPERS),
)


class BuildError(Exception):
    """A program does not answer as it must. The text is for the person at the terminal."""


def hiding(*hidden: Path) -> list[str]:
    """Return the start of a command line that runs its rest where `hidden` files and directories are empty.

    An ordinary user needs a user namespace for it. Where the kernel allows neither, the list is empty and nothing is
    hidden.
    """
    lines = [
        f"mount {'-t tmpfs none' if path.is_dir() else '--bind /dev/null'} {shlex.quote(str(path))}" for path in hidden
    ]
    script = " && ".join([*lines, 'exec "$0" "$@"'])
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", script]
    tried = subprocess.run([*command, "true"], capture_output=True, check=False)
    return command if tried.returncode == 0 else []


def pythons() -> list[Path]:
    """Return what a program must not need: the checkout's packages, its environment, and the Python that made it."""
    standard = Path(sysconfig.get_path("stdlib"))
    return [*(ROOT / name for name in PACKAGES), Path(sys.prefix), standard, Path(sys.executable).resolve()]


def answer(program: Program, executable: Path, within: Sequence[str] = ()) -> str:
    """Start a program in directory / with an empty environment, and return its first words. Raises BuildError.

    A helper gets nothing to do, and its error text is its answer. A CNI program is first started without a verb, to
    which the frozen executable answers with a text about itself, then with VERSION, which the launcher answers.
    `within` is put before the command line.
    """
    command = [*within, str(executable)]
    if program.folder == "cni":
        _said(command)
        return versions(_said(command, CNI_COMMAND="VERSION"))
    if program.folder == "netavark":
        return f"netavark plugin API {json.loads(_said(command, 'info'))['api_version']}"
    if program.folder == "lib":
        return _said(command, status=1).splitlines()[0]
    return _said(command, "--help").splitlines()[0]


def _said(command: Sequence[str], *arguments: str, status: int = 0, **environ: str) -> str:
    """Return what a program prints. Go's flag package, and so flannel, prints help on stderr."""
    done = subprocess.run(
        [*command, *arguments],
        env=environ,
        cwd="/",
        input='{"cniVersion":"1.0.0"}',
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout or done.stderr
    if done.returncode != status or not said.strip() or "Traceback" in said:
        raise BuildError(f"{command[-1]} does not start (exit {done.returncode}):\n{done.stderr or done.stdout}")
    return said


def versions(text: str) -> str:
    """Return the range of versions in an answer to VERSION (CNI specification, "VERSION")."""
    declared = json.loads(text)["supportedVersions"]
    return f"CNI {declared[0]} to {declared[-1]}"


def site_packages() -> Path:
    """Return where the running environment has its distributions."""
    return Path(sysconfig.get_path("purelib"))


def link(place: Path, target: str) -> None:
    """Make `place` lead to `target`, by a rename: a runtime finds the old or the new one."""
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_name(f".{place.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(place)


def build(dist: Path) -> None:
    """Make every program below `dist` and try each of them. A second run in this checkout waits for the first."""
    from build import freeze  # noqa: PLC0415 - it needs this module

    lib = dist / "lib"
    freeze.WORK.mkdir(exist_ok=True)
    with FileLock(freeze.WORK / "lock", mode=0o600):
        current = freeze.is_current(lib)
        if not current:
            started = time.perf_counter()
            freeze.make(lib)
            print(f"build: {dist.name}/lib frozen in {time.perf_counter() - started:.1f} s")
        retire(dist)
        for program in PROGRAMS:
            if program.folder != "lib":
                link(dist / program.place, f"../lib/{program.target}")
        if not current:
            smoke(dist)
            freeze.found_good(lib)


def smoke(dist: Path) -> None:
    """Try every program where no Python can be reached. Raises BuildError on the first that does not answer."""
    within = hiding(*pythons())
    print(
        f"build: trying every program {'without a Python in reach' if within else 'beside Python: no namespaces here'}"
    )
    for program in PROGRAMS:
        print(f"build: {dist.name}/{program.place:<20} {answer(program, dist / program.place, within)}")


def retire(dist: Path) -> None:
    """Remove programs of an earlier table that this one lacks: a directory in CNI_PATH has only our programs."""
    for folder in {program.folder for program in PROGRAMS} - {"lib"}:
        wanted = {program.name for program in PROGRAMS if program.folder == folder}
        for path in (dist / folder).glob("*"):
            if path.name not in wanted:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def main() -> int:
    """Build into dist/ of this checkout, and return the exit code."""
    try:
        build(ROOT / "dist")
    except (BuildError, OSError) as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
