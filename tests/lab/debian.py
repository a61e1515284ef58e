"""Makes clean Debian systems to install packages in: one root for the whole run, and on a pretend host a copy on write of it.

The root is minbase of this machine's release with what the packages depend on, so that nothing is downloaded afterwards. Must not know
what the packages hold. Blind spot: there is no systemd in it, as in a container or an image: units are enabled and none is started.
"""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.lab.world import PATH, Place, World, tool

APT = {"PATH": PATH, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
OWN = ("var/lib/dpkg", "var/lib/apt", "var/cache", "var/log", "dev", "proc", "sys", "tmp")
"""What apt, dpkg and ldconfig keep for themselves, and what is the kernel's."""


def sources() -> list[str]:
    """Return the lines of sources.list that lead to this machine's release in Debian's own archive."""
    form = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(REPO_URI) $(RELEASE) $(COMPONENT)"
    done = subprocess.run(
        [tool("apt-get"), "indextargets", "--format", form, "Created-By: Packages", "Origin: Debian"],
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(set(done.stdout.splitlines()))


def release() -> str:
    """Return the name of this machine's Debian release."""
    found = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text(), re.MULTILINE)
    return found[1] if found else "stable"


def dependencies(package: Path) -> list[str]:
    """Return the packages a .deb depends on, the first where there is a choice, without their versions."""
    said = subprocess.run(
        [tool("dpkg-deb"), "-f", package, "Depends"], capture_output=True, text=True, check=True
    ).stdout
    return [one.split()[0] for one in said.split(",")]


def bootstrap(root: Path, packages: Iterable[str]) -> None:
    """Make a minimal system with `packages` at `root`, as root; the package lists stay in it, so that apt can be asked."""
    subprocess.run(
        [
            *(tool("mmdebstrap"), "--quiet", "--variant=minbase", "--skip=cleanup/apt/lists"),
            *(f"--include={','.join(packages)}", "--dpkgopt=force-unsafe-io", '--aptopt=Acquire::Languages "none"'),
            *(release(), root, "-"),
        ],
        input="\n".join(sources()) + "\n",
        text=True,
        capture_output=True,
        check=True,
        timeout=300,
    )


@dataclass(frozen=True, slots=True)
class Debian:
    """One clean system on a host of its own: `place` runs programs in it, `root` is where its files are seen on the host."""

    place: Place
    host: Place
    root: str

    def apt(self, *arguments: str | Path) -> str:
        """Run apt-get, which asks nothing and keeps settings that were changed; return what it said."""
        keep = ("--option=Dpkg::Options::=--force-confold", "--option=Dpkg::Options::=--force-unsafe-io")
        return self.place.run("apt-get", "--yes", "--no-install-recommends", *keep, *arguments, env=APT, within=120)

    def install(self, *packages: Path) -> str:
        """Install .deb files from out here."""
        for one in packages:
            self.host.run("cp", one, f"{self.root}/tmp")
        return self.apt("install", *(f"/tmp/{one.name}" for one in packages))

    def write(self, path: str, text: str) -> None:
        """Put a file into it."""
        self.place.run("sh", "-c", 'mkdir -p "${1%/*}" && cat >"$1"', "sh", path, stdin=text)

    def read(self, path: str) -> str:
        """Return a file's text."""
        return self.place.run("cat", path)

    def everything(self) -> list[str]:
        """Return a line for each file that is not the package manager's own: path, kind, mode, owner, target; and accounts."""
        hidden = [word for each in OWN for word in ("-path", f"/{each}", "-prune", "-o")]
        files = self.place.run("find", "/", *hidden, "-printf", r"%p %y %m %u:%g %l\n")
        return sorted(
            [*files.splitlines(), *self.read("/etc/passwd").splitlines(), *self.read("/etc/group").splitlines()]
        )


def system(world: World, name: str, root: Path) -> Debian:
    """Start a clean system over the files of `root`; what is changed in it is gone with its host."""
    host = world.add_host(name)
    host.run(
        *("sh", "-ec"),
        "mount -t tmpfs tmpfs /var/lib && cd /var/lib && mkdir upper work root\n"
        'mount -t overlay overlay -o "lowerdir=$1,upperdir=upper,workdir=work" root\n'
        "mount -t proc proc root/proc && mount -t sysfs sysfs root/sys && mount --rbind /dev root/dev\n"
        "mount -t tmpfs tmpfs root/tmp",
        *("sh", str(root)),
    )
    place = Place(name, (*host.prefix, tool("chroot"), "/var/lib/root"), host.jobs)
    return Debian(place, host, "/var/lib/root")
