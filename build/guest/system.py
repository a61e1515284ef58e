"""The guest's system: files of installed Debian packages, our Python packages, a kernel's modules.

It is made from what the host has installed, so that tests meet the same nft and Python in both places, and nothing is
downloaded twice. The image is kept until a version changes. What a package makes during its installation is in no list
of files; of that only links in program directories (update-alternatives) are copied, and Python's bytecode, which an
emulated processor makes slowly.
"""

import hashlib
import shutil
import subprocess  # noqa: TID251 - the build asks dpkg and apt
from collections.abc import Iterable, Iterator
from pathlib import Path

from build.guest import image

PACKAGES = (
    "busybox-static",
    "coreutils",
    "dash",
    "iproute2",
    "iptables",
    "iputils-ping",
    "kmod",
    "mount",
    "nftables",
    "procps",
    "python3",
    "util-linux",
    "wireguard-tools",
)
BULK = (
    "/usr/share/doc/",
    "/usr/share/man/",
    "/usr/share/locale/",
    "/usr/share/info/",
    "/usr/share/perl/",
    "/usr/lib/x86_64-linux-gnu/perl/",
)
CHECKERS = (
    "*mypy*",
    "ruff*",
    "pip",
    "setuptools",
    "grimp",
    "PyInstaller",
    "_pyinstaller*",
)  # they look at code or make programs of it, and never run in the guest
MODULES = ("arch", "crypto", "drivers/net", "lib", "net")
MERGED = ("bin", "lib", "lib64", "sbin")  # Debian 12: links into /usr
SITE = "guest/site-packages"
ACCOUNTS = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "group": "root:x:0:\n",
    "hosts": "127.0.0.1 localhost guest\n::1 localhost\n",
}


def ask(*command: str) -> list[str]:
    """Return the lines that a Debian tool prints. Raises CalledProcessError."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def closure(roots: Iterable[str]) -> list[str]:
    """Return the installed packages among `roots` and everything that they depend on."""
    told = ask("apt-cache", "depends", "--recurse", "--important", "--installed", *roots)
    names = {line for line in told if line[:1].isalnum()}
    states = ask("dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}\n")
    return sorted(names & {line.split()[0] for line in states if line.split()[1] == "ii"})


def versions(packages: Iterable[str]) -> list[str]:
    """Return one line per package that changes when the package does."""
    return ask("dpkg-query", "-W", "-f", "${Package} ${Version}\n", *packages)


def files(packages: Iterable[str]) -> Iterator[Path]:
    """Yield the files of these packages, without manuals and translations."""
    for line in ask("dpkg-query", "-L", *packages):
        if line.startswith("/") and line != "/." and not line.startswith(BULK):
            path = Path(line)
            yield path
            if path.suffix == ".py":
                yield from path.parent.glob(f"__pycache__/{path.stem}.cpython-*.pyc")


def place(path: Path, tree: Path) -> None:
    """Copy one file, link or directory of the host to the same path below `tree`. What does not exist is skipped."""
    target = tree / path.relative_to("/")
    if path.is_symlink():
        if not target.is_symlink() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path.readlink())
    elif path.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif path.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)


def alternatives(folder: Path, tree: Path) -> Iterator[Path]:
    """Yield the links of a program directory, and those they lead over, that end at a file which `tree` has."""
    for link in folder.iterdir():
        if link.is_symlink() and (tree / link.resolve().relative_to("/")).exists():
            step = link
            while step.is_symlink():
                yield step
                step = step.parent / step.readlink()


def stage(tree: Path, packages: Iterable[str], site: Path, kernel: Path) -> None:
    """Put the whole system below `tree`."""
    for name in MERGED:
        (tree / "usr" / name).mkdir(parents=True, exist_ok=True)
        (tree / name).symlink_to(f"usr/{name}")
    for name in ("dev", "etc", "mnt", "proc", "root", "run", "sys", "tmp", "var/tmp"):
        (tree / name).mkdir(parents=True)
    for path in files(packages):
        place(path, tree)
    for folder in (Path("/usr/bin"), Path("/usr/sbin")):
        for link in alternatives(folder, tree):
            place(link, tree)
    for name, text in ACCOUNTS.items():
        (tree / "etc" / name).write_text(text)
    shutil.copytree(site, tree / SITE, ignore=shutil.ignore_patterns(*CHECKERS), symlinks=True)
    stage_kernel(tree, kernel)
    init = tree / "guest/init"
    shutil.copy(Path(__file__).with_name("init.sh"), init)
    init.chmod(0o755)


def stage_kernel(tree: Path, kernel: Path) -> None:
    """Put the modules that tests may need below `tree`, and index them: only the installed package would do that."""
    (source,) = (kernel / "lib/modules").iterdir()
    target = tree / "usr/lib/modules" / source.name
    for name in MODULES:
        shutil.copytree(source / "kernel" / name, target / "kernel" / name)
    for listing in source.glob("modules.*"):
        shutil.copy(listing, target)
    ask("/sbin/depmod", "--basedir", str(tree / "usr"), source.name)


def stamp(packages: Iterable[str], site: Path, kernel: Path) -> str:
    """Return a text that changes when the image would."""
    lines = versions(packages) + sorted(path.name for path in site.iterdir())
    lines += [path.name for path in (kernel / "lib/modules").iterdir()]
    lines += [path.read_text() for path in sorted(Path(__file__).parent.iterdir()) if path.is_file()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def ensure(disk: Path, site: Path, kernel: Path) -> bool:
    """Make the image unless the existing one is current. Return whether it was made."""
    packages = closure(PACKAGES)
    wanted, noted = stamp(packages, site, kernel), disk.with_suffix(".stamp")
    if disk.exists() and noted.exists() and noted.read_text() == wanted:
        return False
    tree = disk.with_suffix(".tree")
    shutil.rmtree(tree, ignore_errors=True)
    try:
        stage(tree, packages, site, kernel)
        image.make(tree, disk)
    finally:
        shutil.rmtree(tree, ignore_errors=True)
    noted.write_text(wanted)
    return True
