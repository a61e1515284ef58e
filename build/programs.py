"""Writes the programs people and runtimes start: dist/cni/NAME and dist/bin/NAME (`make build`).

One table names them all. Each is a short script with an absolute interpreter and absolute module paths, because a runtime starts it
from any directory with a nearly empty environment (runtimes.md A.4, G). Must not know what a program does.
"""

import compileall
import json
import shlex
import shutil
import subprocess  # noqa: TID251 - the build tries what it built
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("bridge", "cli", "cni", "conf", "ipam", "kernel", "lease", "loopback", "meta", "overlay")
DEPENDENCIES = (
    "pyroute2",
    "filelock",
    "jsonschema",
    "jsonschema_specifications",
    "referencing",
    "rpds",
    "attr",
    "attrs",
    "typing_extensions.py",
    "grpclib",
    "h2",
    "hpack",
    "hyperframe",
    "multidict",
)
SHEBANG_BYTES = 127  # linux/binfmts.h: BINPRM_BUF_SIZE was 128 with its terminator until Linux 5.1

CNI_BODY = "from {module} import PROGRAM\nfrom cni.skel import main\nmain(PROGRAM)"
COMMAND_BODY = "from {module} import main\nsys.exit(main())"


@dataclass(frozen=True, slots=True)
class Program:
    """One executable: `folder` is cni or bin, `module` holds its entry point."""

    folder: str
    name: str
    module: str

    @property
    def place(self) -> str:
        """The path below dist/ or below the installed tree."""
        return f"{self.folder}/{self.name}"

    @property
    def body(self) -> str:
        """The lines that start it, once the module paths stand."""
        return (CNI_BODY if self.folder == "cni" else COMMAND_BODY).format(module=self.module)


PROGRAMS = (
    Program("cni", "bridge", "bridge.program"),
    Program("cni", "flannel", "meta.flannel.program"),
    Program("cni", "host-local", "ipam.host_local"),
    Program("cni", "loopback", "loopback.program"),
    Program("cni", "static", "ipam.static"),
    Program("bin", "tulle", "cli.main"),
    Program("bin", "tulled", "overlay.main"),
)


class BuildError(Exception):
    """A program that does not answer as it must; the text is for the person at the terminal."""


def shebang(interpreter: str) -> str:
    """Return the head that starts `interpreter -IS` on the script, through /bin/sh where the kernel would cut or split it.

    In the second form Python sees one string literal and the shell an exec: the quotes belong to both.
    """
    direct = f"#!{interpreter} -IS"
    if len(direct.encode()) <= SHEBANG_BYTES and not set(interpreter) & set(" \t"):
        return direct
    return f"#!/bin/sh\n'''exec' {shlex.quote(interpreter)} -IS \"$0\" \"$@\"\n' '''"


def script(program: Program, interpreter: str, paths: Sequence[str]) -> str:
    """Return the whole text of an executable; -IS keeps the caller's environment and the site module out."""
    return f"{shebang(interpreter)}\nimport sys\nsys.path += {list(paths)!r}\n{program.body}\n"


def write(target: Path, text: str) -> None:
    """Put an executable in place by a rename: a runtime never starts half a script."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new")
    fresh.write_text(text)
    fresh.chmod(0o755)
    fresh.replace(target)


def bytecode(code: Path) -> None:
    """Compile ahead: the first container does not pay for it, nor does every one where the tree is read-only."""
    compiled = compileall.compile_dir(code, quiet=1) if code.is_dir() else compileall.compile_file(code, quiet=1)
    if not compiled:
        raise BuildError(f"compiling {code} failed; the lines above say where")


def answer(program: Program, executable: Path) -> str:
    """Start it as a stranger would (directory /, empty environment) and return its first words, or raise BuildError."""
    probing = {"CNI_COMMAND": "VERSION"} if program.folder == "cni" else {}
    arguments = [] if program.folder == "cni" else ["--help"]
    done = subprocess.run(
        [executable, *arguments],
        env=probing,
        cwd="/",
        input='{"cniVersion":"1.0.0"}',
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout if probing else done.stdout or done.stderr  # Go's flag package, and so flannel, helps on stderr
    if done.returncode or not said.strip():
        raise BuildError(f"{executable} does not start (exit {done.returncode}):\n{done.stderr or done.stdout}")
    return versions(said) if probing else said.splitlines()[0]


def versions(text: str) -> str:
    """Return the range of versions a VERSION answer declares (specification, "VERSION")."""
    declared = json.loads(text)["supportedVersions"]
    return f"CNI {declared[0]} to {declared[-1]}"


def site_packages() -> Path:
    """Return where the running environment keeps its distributions."""
    return Path(sys.prefix, "lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")


def dependencies(site: Path) -> tuple[Path, ...]:
    """Return the folders, and the one file, of the run requirements that a program may import."""
    return tuple(site / name for name in DEPENDENCIES)


def build(dist: Path) -> None:
    """Write every program below `dist` and try each of them."""
    for folder in (*(ROOT / name for name in PACKAGES), *dependencies(site_packages())):
        bytecode(folder)
    retire(dist)
    for program in PROGRAMS:
        write(dist / program.place, script(program, sys.executable, (str(ROOT), str(site_packages()))))
    for program in PROGRAMS:
        started = time.perf_counter()
        words = answer(program, dist / program.place)
        print(f"build: {dist.name}/{program.place:<15} {(time.perf_counter() - started) * 1000:4.0f} ms  {words}")


def retire(dist: Path) -> None:
    """Remove what an earlier table named and this one does not: a CNI_PATH entry holds our programs only."""
    for folder in {program.folder for program in PROGRAMS}:
        wanted = {program.name for program in PROGRAMS if program.folder == folder}
        for path in (dist / folder).glob("*"):
            if path.name not in wanted:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def main() -> int:
    """Build into dist/ of this checkout; return the exit code."""
    try:
        build(ROOT / "dist")
    except (BuildError, OSError) as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
