"""Runs a real containerd on a pretend host, and starts containers as people do: with `ctr` and with `nerdctl`.

Everything is where it is on a real host (/run/containerd, /var/lib/containerd, /etc/cni/net.d, /opt/cni/bin), because a pretend host has
these directories for itself; our programs replace the reference's, whose others nerdctl asks for. Blind spot: /opt is empty for the host, so a checkout below /opt would not be seen.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.lab import cgroups, image
from tests.lab.cri import Pods
from tests.lab.daemon import DIST
from tests.lab.hosts import Host
from tests.lab.reference import program
from tests.lab.waiting import until

SOCKET = "run/containerd/containerd.sock"
CONFIG = f"""
version = 2
[plugins."io.containerd.grpc.v1.cri"]
restrict_oom_score_adj = true
sandbox_image = "{image.IMAGE}"
"""
"""To lower an OOM score needs CAP_SYS_RESOURCE, which a test's root may lack; a pod's pause is our image's default command."""
LAYOUT = """
set -e
cp -a /etc "$1/etc"
mount --bind "$1/etc" /etc
mount -t tmpfs tmpfs /opt
mkdir -p /opt/cni/bin /etc/cni/net.d /run/containerd
ln -s /usr/lib/cni/* /opt/cni/bin/
ln -sf "$2"/* /opt/cni/bin/
rm -rf /etc/cni/net.d/*
cp "$3" /etc/cni/net.d/
"""


@dataclass(frozen=True)
class Containerd:
    """containerd on one pretend host."""

    host: Host

    @property
    def group(self) -> str:
        """The cgroup its containers live below, as a path."""
        return f"/{cgroups.parent(self.host)}"

    @cached_property
    def pods(self) -> Pods:
        """The CRI of this containerd, reached through the root directory of a process of its host."""
        return Pods(f"/proc/{self.host.place.prefix[1].partition('=')[2]}/root/{SOCKET}", self.group)

    def ctr(self, *words: str) -> str:
        """Run `ctr WORDS` here; return its output."""
        return self.host.place.run("ctr", *words, within=60).strip()

    def ctr_run(self, name: str, options: tuple[str, ...], *command: str) -> str:
        """Run a container on the first network of /etc/cni/net.d with options of `ctr run`; return what it printed."""
        return self.ctr("run", *options, "--cni", "--cgroup", f"{self.group}/{name}", image.IMAGE, name, *command)

    def nerdctl(self, *words: str) -> str:
        """Run `nerdctl WORDS` here; return its output."""
        return self.host.place.run(program("nerdctl"), *words, within=60).strip()

    def nerdctl_run(self, name: str, options: tuple[str, ...], *command: str) -> str:
        """Run a container on our network with nerdctl and options of its `run`; return what it printed."""
        fixed = ("--name", name, "--network", "tulle", "--pull", "never", "--cgroup-parent", self.group)
        return self.nerdctl("run", *fixed, *options, image.IMAGE, *command)


def start(host: Host, conflist: Path) -> Containerd:
    """Start containerd on a host with our programs and this conflist, and load the image for all its clients; the world ends it."""
    home = host.workdir / f"containerd-{host.name}"
    home.mkdir()
    host.place.run("sh", "-c", LAYOUT, "layout", home, DIST / "cni", conflist)
    (home / "config.toml").write_text(CONFIG)
    with (home / "log").open("w") as log:
        host.place.start("containerd", "--config", home / "config.toml", log=log)
    until(
        lambda: not host.place.attempt("ctr", "version").returncode, f"containerd answers ({home / 'log'})", within=30
    )
    here, archive = Containerd(host), image.write(home / "image.tar")
    for namespace in ("default", "k8s.io"):  # of ctr and nerdctl, and of the CRI
        here.ctr("--namespace", namespace, "images", "import", str(archive))
    return here
