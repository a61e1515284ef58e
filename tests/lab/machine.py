"""Makes a pretend host a machine as a newcomer has it: its own /usr, /etc and /opt to install into, services, and its runtimes' settings.

What is typed there changes nothing outside: the folders lie over the real ones, and what was written goes with the host. Runtimes that the
page is not about are hidden, for this machine has all of them. Must not know pages, nor networks.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cgroups, containerd, image
from tests.lab.daemon import ROOT
from tests.lab.hosts import Host
from tests.lab.podman import settings
from tests.lab.reference import program
from tests.lab.world import PATH

FOLDERS = ("usr", "etc", "opt")
LAYERS = """
mkdir -p "$1"
mount -t tmpfs tmpfs "$1"
mkdir -p /opt
for folder in usr etc opt; do
    below=/$folder
    for layer in $2; do [ ! -d "$layer/$folder" ] || below=$layer/$folder:$below; done
    mkdir "$1/$folder" "$1/$folder.work"
    mount -t overlay machine -o "lowerdir=$below,upperdir=$1/$folder,workdir=$1/$folder.work" "/$folder"
done
"""
RUNTIMES = ("podman", "containerd", "ctr", "docker", "dockerd", "nerdctl")
STORAGE = '[storage]\ndriver = "vfs"\nrunroot = "/run/containers/storage"\ngraphroot = "/var/lib/containers/storage"\n'
DEBIAN = '[plugins."io.containerd.grpc.v1.cri".cni]\nbin_dir = "/usr/lib/cni"\nconf_dir = "/etc/cni/net.d"\n'
NAME = "docker.io/library/busybox:latest"
"""What pages call the image."""


@dataclass(frozen=True)
class Machine:
    """A pretend host as a machine."""

    host: Host
    home: Path

    @property
    def layer(self) -> Path:
        """Where what was written to FOLDERS lies."""
        return self.home.with_name(f"layers-{self.host.name}")

    def attempt(self, script: str, within: float = 120) -> "tuple[int, str]":
        """Type lines as root in a shell that stops at the first failure; return the exit code and what was printed."""
        environment = {"PATH": PATH, "HOME": str(self.home), "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}
        words = ("sh", "-ec", f"cd {self.home}; exec 2>&1\n{script}")
        done = self.host.place.attempt(*words, env={**environment, "TMPDIR": str(self.home)}, within=within)
        return done.returncode, done.stdout

    def type(self, script: str) -> str:
        """Type lines that must succeed."""
        code, said = self.attempt(script)
        assert code == 0, f"{script}\n{said}"
        return said

    def program(self, place: str, script: str) -> None:
        """Write a program of this machine."""
        self.host.place.run(
            "sh", "-ec", 'rm -f "$1"; cat >"$1"; chmod +x "$1"', "sh", place, stdin=f"#!/bin/sh\n{script}\n"
        )

    def service(self, name: str, command: str) -> None:
        """Write the unit of a service that says when it is ready."""
        unit = f"[Service]\nType=notify\nExecStart={command}\n"
        self.host.place.run("sh", "-ec", 'cat >"$1"', "sh", f"/etc/systemd/system/{name}.service", stdin=unit)


def furnish(host: Host, runtimes: Sequence[str] = (), layers: Sequence[Path] = ()) -> Machine:
    """Make a host a machine with the checkout `tulle` and these programs of RUNTIMES; `layers` are trees to lie over the real one, the last on top."""
    machine = Machine(host, host.workdir / f"home-{host.name}")
    machine.home.mkdir()
    (machine.home / "tulle").symlink_to(ROOT)
    host.place.run("sh", "-ec", LAYERS, "sh", machine.layer, " ".join(map(str, layers)))
    hidden = [name for name in RUNTIMES if name not in runtimes]
    folders = ("/usr/local/bin", "/usr/bin", "/usr/sbin")
    machine.type(
        f"rm -f {' '.join(f'{folder}/{name}' for folder in folders for name in hidden)}; rm -f /etc/cni/net.d/*"
    )
    machine.type("mkdir -p /run/systemd/system")
    machine.program("/usr/bin/systemctl", f'exec {sys.executable} -IS {ROOT}/tests/lab/systemctl.py "$@"')
    return machine


def with_podman(machine: Machine, backend: str) -> None:
    """Give a machine its Podman's settings, and the image under the name pages have for it."""
    network = settings(f'network_backend = "{backend}"')
    for name, text in (("containers", network), ("storage", STORAGE)):
        machine.host.place.run("sh", "-ec", 'cat >"$1"', "sh", f"/etc/containers/{name}.conf", stdin=text)
    machine.host.place.run("mount", "-t", "tmpfs", "tmpfs", "/dev/shm")  # podman's lock file
    _grouped(machine, "podman", "/usr/bin/podman", "--cgroup-parent")
    machine.type(f"podman load --quiet --input {image.write(machine.home / 'image.tar')}")
    machine.type(f"podman tag {image.IMAGE} {NAME}")


def with_containerd(machine: Machine) -> None:
    """Start containerd on a machine, set as Debian's package sets it, with nerdctl beside it, and the image under pages' name for it."""
    text = f"{containerd.CONFIG}{DEBIAN}"
    machine.host.place.run(
        "sh", "-ec", 'mkdir -p "${1%/*}"; cat >"$1"', "sh", "/etc/containerd/config.toml", stdin=text
    )
    machine.type("systemctl start containerd")
    machine.type(f"ctr images import {image.write(machine.home / 'image.tar')}; ctr images tag {image.IMAGE} {NAME}")
    _grouped(machine, "ctr", "/usr/bin/ctr", "--cgroup", "/container")
    _grouped(machine, "nerdctl", str(program("nerdctl")), "--cgroup-parent")


def _grouped(machine: Machine, name: str, real: str, option: str, below: str = "") -> None:
    """Have a runtime put its containers into the host's own group: cgroups are the machine's, not the world's."""
    given = f'{option}="/{cgroups.parent(machine.host)}{below}"'
    machine.program(
        f"/usr/local/bin/{name}",
        f'case $1 in run | create) verb=$1; shift; set -- "$verb" {given} "$@" ;; esac\nexec {real} "$@"',
    )
