"""Claims about a real runtime: Podman 4 with its CNI backend, our plugins and our conflist on two pretend hosts (runtimes.md A.1 to A.4).

- a container on one host fetches a page from a container on the other, and the server's log shows the container's own address
- a container that is removed leaves no link and no claimed address
- Podman finds no fault with the conflist: no warning on any command

Images come from busybox, never from a registry. All state is private: storage in the lab's directory, /run, /var/lib and /dev/shm of the
pretend host, processes in the world. Skipped only where Podman is absent, and never in CI.
"""

import json
import os
import resource
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.lab.daemon import DIST
from tests.lab.hosts import CONFLIST, Host, Lab
from tests.lab.world import PATH

pytestmark = pytest.mark.skipif(
    shutil.which("podman", path=PATH) is None and "CI" not in os.environ,
    reason="podman is not installed: make setup FOR=test",
)

IMAGE = "localhost/busybox:1"
APPLETS = ("cat", "httpd", "ip", "ping", "sh", "wget")
CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile={nofile}:{nofile}", "nproc={nproc}:{nproc}"]
[network]
network_backend = "cni"
network_config_dir = "{configs}"
cni_plugin_dirs = ["{plugins}"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


@dataclass(frozen=True)
class Podman:
    """Podman on one pretend host, with storage, settings and a parent cgroup of its own."""

    host: Host
    home: Path

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
        }
        storage = ("--root", str(self.home / "root"), "--runroot", str(self.home / "run"), "--storage-driver", "vfs")
        return self.host.place.attempt("podman", *storage, *words, env=environment, within=60)

    def run(self, *words: str) -> str:
        """Run one podman command that must succeed without a warning, and return its output."""
        done = self.attempt(*words)
        assert done.returncode == 0, f"podman {' '.join(words)}: {done.stderr}"
        assert "level=warning" not in done.stderr
        return done.stdout.strip()

    def start(self, name: str, *command: str) -> str:
        """Run a container on our network, detached, and return its id."""
        return self.run("run", "--detach", "--name", name, *self._network, IMAGE, *command)

    def once(self, name: str, *command: str) -> str:
        """Run a container on our network to its end and return what it printed."""
        return self.run("run", "--name", name, *self._network, IMAGE, *command)

    @property
    def _network(self) -> tuple[str, ...]:
        return ("--network", "tulle", "--cgroup-parent", f"/{self.cgroup}")

    def address(self, container: str) -> str:
        """Return the address Podman believes a container has."""
        networks = json.loads(self.run("inspect", "--format", "{{json .NetworkSettings.Networks}}", container))
        return str(networks["tulle"]["IPAddress"])


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
        page.size = len(b"from the other host")
        archive.addfile(page, BytesIO(b"from the other host"))
    return target


def make_podman(host: Host) -> Podman:
    """Give a pretend host its own podman with our conflist, our plugins and the image."""
    home = host.workdir / f"podman-{host.name}"
    (home / "net.d").mkdir(parents=True)
    shutil.copy(CONFLIST, home / "net.d")
    settings = CONTAINERS_CONF.format(
        nofile=limit(resource.RLIMIT_NOFILE),
        nproc=limit(resource.RLIMIT_NPROC),
        configs=home / "net.d",
        plugins=DIST / "cni",
    )
    (home / "containers.conf").write_text(settings)
    host.place.run("mount", "-t", "tmpfs", "tmpfs", "/dev/shm")  # podman's lock file
    podman = Podman(host, home)
    podman.run("import", "--quiet", "--change", "ENV PATH=/bin", str(image(home / "image.tar")), IMAGE)
    return podman


def remove_cgroups(parent: str) -> None:
    """Remove the groups Podman made for its containers, deepest first: cgroups belong to the machine, not to the world."""
    for top in (*Path("/sys/fs/cgroup").glob(parent), *Path("/sys/fs/cgroup").glob(f"*/{parent}")):
        for group in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
            group.rmdir()
        top.rmdir()


@pytest.fixture(scope="module")
def podmans() -> Iterator[tuple[Podman, Podman]]:
    with Lab({"host-a": 1, "host-b": 2}) as lab:
        lab.start_daemons("--ip-masq")
        first, second = (make_podman(host) for host in lab.hosts.values())
        yield first, second
        for podman in (first, second):
            podman.attempt("rm", "--force", "--all", "--time", "0")
    for podman in (first, second):
        remove_cgroups(podman.cgroup)


@pytest.fixture(scope="module")
def web(podmans: tuple[Podman, Podman]) -> str:
    """Start a web server on the first host and return its address."""
    podmans[0].start("web", "httpd", "-f", "-vv", "-p", "80", "-h", "/www")
    return podmans[0].address("web")


def test_a_container_fetches_a_page_across_the_overlay(podmans: tuple[Podman, Podman], web: str) -> None:
    page = podmans[1].once("visitor", "wget", "-q", "-O", "-", f"http://{web}/")

    assert page == "from the other host"


def test_the_server_sees_the_containers_own_address(podmans: tuple[Podman, Podman], web: str) -> None:
    script = f"ip -4 -o address show eth0 && wget -q -O /dev/null http://{web}/"
    said = podmans[1].once("named", "sh", "-c", script)

    own = said.split("inet ")[1].partition("/")[0]
    log = podmans[0].attempt("logs", "web")
    assert f"{own}]" in log.stdout + log.stderr or f"{own}:" in log.stdout + log.stderr


def test_a_removed_container_leaves_no_link_and_no_claim(podmans: tuple[Podman, Podman]) -> None:
    podman = podmans[1]
    identity = podman.start("brief", "httpd", "-f", "-p", "80")
    place = podman.host.place
    assert identity in place.run("grep", "-r", identity, "/run/tulle")
    assert identity in place.run("ip", "link", "show")

    podman.run("rm", "--force", "--time", "0", "brief")

    assert place.attempt("grep", "-r", identity, "/run/tulle").stdout == ""
    assert identity not in place.run("ip", "link", "show")


def test_podman_lists_the_network(podmans: tuple[Podman, Podman]) -> None:
    assert "tulle" in podmans[0].run("network", "ls", "--format", "{{.Name}}").split()
