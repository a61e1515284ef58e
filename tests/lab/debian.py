"""Makes clean Debian systems to install packages in: one root for the whole run, and on a pretend host a copy on write of it, booted.

The root is what is essential in this machine's release, apt, systemd and what the packages depend on, so that nothing is downloaded afterwards.
systemd is the first process of namespaces and of a cgroup of its own. Must not know what the packages hold. Blind spot: units that
would reach the machine itself (kernel parameters and modules, terminals, timers) are masked.
"""

import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.waiting import until
from tests.lab.world import PATH, Place, World, only_child, tool

APT = {"PATH": PATH, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
NOT_COMPARED = (
    "var/lib/dpkg",
    "var/lib/apt",
    "var/cache",
    "var/log",
    "run/systemd",
    "run/log",
    "dev",
    "proc",
    "sys",
    "tmp",
)
"""What apt, dpkg, ldconfig and systemd keep for themselves, and what is the kernel's."""

HOME = "/var/lib/root"
MAKE = """
mount -t tmpfs tmpfs /var/lib && cd /var/lib && mkdir upper work root group
mount -t overlay overlay -o "lowerdir=$1,upperdir=upper,workdir=work" root
for unit in systemd-sysctl.service systemd-modules-load.service timers.target getty.target; do ln -sf /dev/null root/etc/systemd/system/$unit; done
mount -t sysfs sysfs root/sys && mount -t tmpfs tmpfs root/tmp && mount -t tmpfs tmpfs root/run && mount -t tmpfs tmpfs root/dev
for node in full null random tty urandom zero; do : >root/dev/$node && mount --bind /dev/$node root/dev/$node; done
ln -s /proc/self/fd root/dev/fd
mount -t cgroup2 cgroup2 group && mkdir "group/$2"
"""
BOOT = """
cd /var/lib && echo $$ >"group/$1/cgroup.procs"
exec unshare --cgroup --mount --pid --uts --ipc --fork --kill-child sh -ec '
mount -t proc proc root/proc && mount -t cgroup2 cgroup2 root/sys/fs/cgroup
exec chroot root /usr/bin/env -i container=lab /lib/systemd/systemd --system --log-target=null --show-status=no'
"""
END = """
cd /var/lib/group && echo 1 >"$1/cgroup.kill" && find "$1" -depth -type d -exec rmdir {} + 2>/dev/null
"""
INSIDE = ("--net", "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--root", "--wd", "--")


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
    words = [tool("dpkg-deb"), "--field", str(package), "Depends"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return [one.split()[0] for one in said.split(",")]


def bootstrap(root: Path, packages: Iterable[str]) -> Path:
    """Make a minimal system with `packages` at `root`, as root, and return that; the package lists stay in it, so that apt can be asked."""
    subprocess.run(
        [
            *(tool("mmdebstrap"), "--quiet", "--variant=apt", "--skip=cleanup/apt/lists"),
            *(f"--include={','.join(['systemd', *packages])}", "--dpkgopt=force-unsafe-io"),
            *('--aptopt=Acquire::Languages "none"', release(), root, "-"),
        ],
        input="\n".join(sources()) + "\n",
        text=True,
        capture_output=True,
        check=True,
        timeout=300,
    )
    return root


@dataclass(frozen=True, slots=True)
class Debian:
    """One clean system: `place` runs programs in it, `host` is the pretend host it is on, with its files at HOME."""

    place: Place
    host: Place

    def apt(self, *arguments: str | Path) -> str:
        """Run apt-get, which asks nothing and keeps settings that were changed; return what it said."""
        keep = ("--option=Dpkg::Options::=--force-confold", "--option=Dpkg::Options::=--force-unsafe-io")
        words = ("--yes", "--quiet=2", "--no-install-recommends", *keep, *arguments)
        return self.place.run("sh", "-c", 'exec apt-get "$@" 2>&1', "sh", *words, env=APT, within=120)

    def install(self, *packages: Path) -> None:
        """Install .deb files from out here."""
        self.host.run("cp", *packages, f"{HOME}/tmp")
        self.apt("install", *(f"/tmp/{one.name}" for one in packages))

    def state(self, unit: str) -> str:
        """Return whether a unit is enabled, and whether it is active, in systemd's words."""
        return " ".join(
            self.place.attempt("systemctl", word, unit).stdout.strip() for word in ("is-enabled", "is-active")
        )

    def read(self, path: str) -> str:
        """Return a file's text."""
        return self.place.run("cat", path)

    def everything(self) -> list[str]:
        """Return a line for each file to compare (path, kind, mode, owner, target) and for each account."""
        hidden = [word for each in NOT_COMPARED for word in ("-path", f"/{each}", "-prune", "-o")]
        files = self.place.run("find", "/", *hidden, "-printf", r"%p %y %m %u:%g %l\n")
        return sorted((files + self.read("/etc/passwd") + self.read("/etc/group")).splitlines())


@contextmanager
def booted(root: Path, group: str) -> Iterator[Debian]:
    """Boot a copy of `root` in a world of its own, below the cgroup `group`; both are gone afterwards."""
    with World() as world:
        host = world.add_host("debian")
        host.run("sh", "-ec", MAKE, "sh", root, group)
        try:
            job = host.start("sh", "-ec", BOOT, "sh", group)
            until(lambda: host.attempt("test", "-e", f"{HOME}/run/systemd/private").returncode == 0, "systemd is there")
            first = only_child(only_child(job.pid))
            place = Place("debian", (tool("nsenter"), f"--target={first}", *INSIDE), host.jobs)
            until(
                lambda: place.attempt("systemctl", "is-system-running").stdout == "running\n",
                "it has booted",
                within=30,
            )
            yield Debian(place, host)
        finally:
            until(lambda: host.attempt("sh", "-c", END, "sh", group).returncode == 0, f"cgroup {group} is empty")
