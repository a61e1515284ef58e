"""A Podman on a pretend host: storage, settings, a parent cgroup and an image of its own, none of them from a registry.

All state is private: storage in the lab's directory, /run, /var/lib and /dev/shm of the pretend host, processes in the world.
Must not know networks: the caller's settings say what there is.
"""

import json
import os
import resource
import shutil
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from subprocess import CompletedProcess

from tests.lab.hosts import Host
from tests.lab.world import PATH

IMAGE = "localhost/busybox:1"
PAGE = "from the other host"
APPLETS = ("cat", "httpd", "ip", "ping", "sh", "wget")
SETTINGS = """
[containers]
default_ulimits = ["nofile={nofile}:{nofile}", "nproc={nproc}:{nproc}"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
{network}
"""


@dataclass(frozen=True)
class Podman:
    """Podman on one pretend host; its containers are on `network` unless they say otherwise."""

    host: Host
    home: Path
    network: str = "tulle"

    @property
    def cgroup(self) -> str:
        """The group its containers live below: cgroups are the machine's, so the name must not be anybody else's."""
        return f"{self.home.parent.name}-{self.host.name}"

    def attempt(self, *words: str) -> CompletedProcess[str]:
        """Run one podman command here."""
        environment = {
            "PATH": PATH,
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "CONTAINERS_CONF": str(self.home / "containers.conf"),
            "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
        }
        storage = ("--root", str(self.home / "root"), "--runroot", str(self.home / "run"), "--storage-driver", "vfs")
        return self.host.place.attempt("podman", *storage, *words, env=environment, within=60)

    def run(self, *words: str) -> str:
        """Run one podman command that must succeed without a warning, and return its output."""
        done = self.attempt(*words)
        assert done.returncode == 0, f"podman {' '.join(words)}: {done.stderr}"
        assert "level=warning" not in done.stderr
        return done.stdout.strip()

    def start(self, name: str, *command: str, options: tuple[str, ...] = ()) -> str:
        """Run a container on our network, detached, and return its id."""
        return self.run("run", "--detach", "--name", name, *self._network, *options, IMAGE, *command)

    def once(self, name: str, *command: str) -> str:
        """Run a container on our network to its end and return what it printed."""
        return self.run("run", "--name", name, *self._network, IMAGE, *command)

    @property
    def _network(self) -> tuple[str, ...]:
        return ("--network", self.network, "--cgroup-parent", f"/{self.cgroup}")

    def address(self, container: str, network: str = "") -> str:
        """Return the address Podman believes a container has."""
        networks = json.loads(self.run("inspect", "--format", "{{json .NetworkSettings.Networks}}", container))
        return str(networks[network or self.network]["IPAddress"])

    def remove_containers(self) -> None:
        """Remove every container, and then the groups Podman made for them: cgroups are the machine's, not the world's."""
        self.attempt("rm", "--force", "--all", "--time", "0")
        remove_cgroups(self.cgroup)


def limit(kind: int) -> int:
    """Return what this machine lets a process have; Podman's own defaults may be more than that (runtimes.md, fact 1)."""
    hard = resource.getrlimit(kind)[1]
    return 32768 if hard == resource.RLIM_INFINITY else hard


def image(target: Path) -> Path:
    """Write an image's root file system: busybox, a page, and the names busybox answers to."""
    with tarfile.open(target, "w") as archive:
        archive.add(os.path.realpath(shutil.which("busybox", path=PATH) or "busybox"), "bin/busybox")
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        for folder in ("proc", "sys", "dev", "tmp", "etc", "www"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        page = tarfile.TarInfo("www/index.html")
        page.size = len(PAGE)
        archive.addfile(page, BytesIO(PAGE.encode()))
    return target


def make(host: Host, network: str) -> Podman:
    """Give a pretend host its own podman with the image; `network` are the lines of its section [network]."""
    home = host.workdir / f"podman-{host.name}"
    home.mkdir(exist_ok=True)
    settings = SETTINGS.format(
        nofile=limit(resource.RLIMIT_NOFILE), nproc=limit(resource.RLIMIT_NPROC), network=network
    )
    (home / "containers.conf").write_text(settings)
    host.place.run("mount", "-t", "tmpfs", "tmpfs", "/dev/shm")  # podman's lock file
    podman = Podman(host, home)
    podman.run("import", "--quiet", "--change", "ENV PATH=/bin", str(image(home / "image.tar")), IMAGE)
    return podman


def remove_cgroups(parent: str) -> None:
    """Remove the groups below every `parent`, deepest first."""
    for top in (*Path("/sys/fs/cgroup").glob(parent), *Path("/sys/fs/cgroup").glob(f"*/{parent}")):
        for group in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
            group.rmdir()
        top.rmdir()
