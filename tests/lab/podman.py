"""A Podman on a pretend host: storage, settings, a parent cgroup and an image of its own, none of them from a registry.

All state is private: storage in the lab's directory, /run, /var/lib and /dev/shm of the pretend host, processes in the world.
Must not know networks: the caller's settings say what there is.
"""

import json
import resource
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from tests.lab import cgroups, image
from tests.lab.hosts import Host
from tests.lab.world import PATH

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
        """The group its containers live below."""
        return cgroups.parent(self.host)

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
        return self.run("run", "--detach", "--name", name, *self._network, *options, image.IMAGE, *command)

    def once(self, name: str, *command: str) -> str:
        """Run a container on our network to its end and return what it printed."""
        return self.run("run", "--name", name, *self._network, image.IMAGE, *command)

    def execute(self, name: str, *command: str) -> str:
        """Run a command in a container and return what it printed."""
        return self.run("exec", name, *command)

    def remove(self, name: str) -> None:
        """Remove a container at once."""
        self.run("rm", "--force", "--time", "0", name)

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
        cgroups.remove(self.cgroup)


def limit(kind: int) -> int:
    """Return what this machine lets a process have; Podman's own defaults may be more than that (docs/reference/runtimes.md, fact 1)."""
    hard = resource.getrlimit(kind)[1]
    return 32768 if hard == resource.RLIM_INFINITY else hard


def settings(network: str) -> str:
    """Return the text of containers.conf(5) for this machine; `network` are the lines of its section [network]."""
    return SETTINGS.format(nofile=limit(resource.RLIMIT_NOFILE), nproc=limit(resource.RLIMIT_NPROC), network=network)


def make(host: Host, network: str) -> Podman:
    """Give a pretend host its own podman with the image; `network` are the lines of its section [network]."""
    home = host.workdir / f"podman-{host.name}"
    home.mkdir(exist_ok=True)
    (home / "containers.conf").write_text(settings(network))
    host.place.run("mount", "-t", "tmpfs", "tmpfs", "/dev/shm")  # podman's lock file
    podman = Podman(host, home)
    podman.run("load", "--quiet", "--input", str(image.write(home / "image.tar")))
    return podman
