"""Makes the Debian packages in dist/deb from what `make install` would install, with Debian's own tools (`make deb`).

dpkg-buildpackage gets a source tree below .build/deb: `root/`, an installation with PREFIX=/usr, and `debian/`, a copy
of build/debian. Two things differ from `make install`: libraries that Debian has packages of become dependencies, so
that their security updates count, and debhelper installs the units. The packages are for the Debian release on which
they are built.
"""

import contextlib
import io
import shutil
import subprocess  # noqa: TID251 - the build runs Debian's tools
import sys
import sysconfig
from pathlib import Path

from build import freeze
from build.install import FOLDERS, Target, install
from build.programs import ROOT, BuildError

PREFIX = Path("/usr")
CNI_BIN = Path("/usr/libexec/tulle/cni")
"""A directory in which no runtime looks, so that the package `tulle` replaces no other program.

`tulle-cni` and `tulle init` do that.
"""

WORK = freeze.WORK / "deb"
RESULT = ROOT / "dist" / "deb"
PYTHONS = Path(f"/usr/share/doc/python{sysconfig.get_python_version()}/copyright")
BUNDLED = "libpython"
"""The beginning of the only shared library that stays in the tree: its package would install another Python."""

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def make(result: Path) -> list[Path]:
    """Build the packages into the new directory `result`, and return them.

    Raises BuildError that names the failed tool.
    """
    source = WORK / "tulle"
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.copytree(ROOT / "build" / "debian", source / "debian")
    stage(source)
    _run("dpkg-buildpackage", "--build=binary", "--no-sign", cwd=source)
    shutil.rmtree(result, ignore_errors=True)
    result.mkdir(parents=True)
    for made in (one for one in WORK.iterdir() if one.is_file()):
        made.replace(result / made.name)
    return sorted(result.glob("*.deb"))


def stage(source: Path) -> None:
    """Put everything from which the packages are made beside debian/."""
    target = Target(PREFIX, CNI_BIN, source / "root", systemd=True)
    with contextlib.redirect_stdout(io.StringIO()):
        install(target, replace=False)
    (target.staged(target.tree) / FOLDERS).unlink()
    leave_out_libraries(target.staged(target.tree) / "_internal")
    hand_over_units(target, source / "debian")
    for folder in ("docs", "conf", "build/systemd"):
        shutil.copytree(ROOT / folder, source / folder)
    shutil.copy(ROOT / "README.md", source)
    shutil.copy(ROOT / "CHANGELOG.md", source / "docs")
    shutil.copy(PYTHONS, source / "copyright.python")
    (source / "debian" / "built-using").write_text(", ".join(built_using()))


def leave_out_libraries(internal: Path) -> None:
    """Remove the shared libraries that PyInstaller took from Debian's packages.

    Dh_shlibdeps makes them dependencies.
    """
    for library in internal.glob("lib*.so*"):
        if not library.name.startswith(BUNDLED):
            library.unlink()


def hand_over_units(target: Target, debian: Path) -> None:
    """Move the units to where dh_installsystemd looks for them. It knows where to install and how to start them."""
    for unit in target.units:
        target.staged(unit).rename(debian / f"tulle.{unit.name}")
    for folder in (target.units[0].parent, target.units[0].parent.parent):
        target.staged(folder).rmdir()


def built_using() -> list[str]:
    """Return the source packages of what is in the programs without being a dependency (Debian policy 7.8)."""
    files = [
        *Path("/usr/lib").glob("*-linux-musl/libc.a"),
        Path(_run("gcc", "-print-libgcc-file-name").strip()),
        freeze.library(),
    ]
    owners = {_run("dpkg-query", "-S", str(file.resolve())).rpartition(":")[0] for file in files}
    return sorted(_run("dpkg-query", "-Wf", "${source:Package} (= ${source:Version})", owner) for owner in owners)


def _run(*command: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={"PATH": PATH, "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildError(f"{' '.join(command)} failed (exit {done.returncode}):\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> int:
    """Build into dist/deb of this checkout, and return the exit code."""
    try:
        for package in make(RESULT):
            print(f"deb: {package.relative_to(ROOT)}")
    except (BuildError, OSError) as error:
        print(f"deb: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
