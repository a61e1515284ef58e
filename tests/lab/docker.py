"""A Docker on a pretend host, its daemon started as systemd would by docker.service and the drop-ins beside it.

All state is private: /etc is a copy, /run and /var/lib are the pretend host's, and the cgroup of its containers is removed. Of units only
what starts Docker is read: EnvironmentFile, ExecStartPre and ExecStart. Blind spot: activation by docker.socket.
"""

import signal
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from tests.lab import cgroups, image
from tests.lab.daemon import DIST
from tests.lab.hosts import Host
from tests.lab.waiting import until
from tests.lab.world import PATH

CLIENT = "/usr/bin/docker"
FOLDER = "/etc/systemd/system"
SERVICE = """\
[Service]
EnvironmentFile=-/etc/default/docker
ExecStart=/usr/sbin/dockerd \\
    --storage-driver=vfs --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent=/{group} $DOCKER_OPTS
"""
LAYOUT = """
set -e
cp -a /etc "$1/etc"
mount --bind "$1/etc" /etc
rm -rf /etc/docker /etc/default/docker /etc/systemd/system/docker.service.d
mount -t tmpfs tmpfs /dev/shm
"""
START = """
environment() { set -a; for file in $1; do [ ! -e "$file" ] || . "$file"; done; set +a; }
environment "$1"
eval "$2"
environment "$1"
exec $(eval echo "$3")
"""
"""As systemd.exec(5) says: the files are read before each command, and a variable that is a word of its own may be many words."""


@dataclass
class Docker:
    """Docker on one pretend host."""

    host: Host
    home: Path
    job: Popen[str] | None = None

    @property
    def group(self) -> str:
        """The cgroup its containers live below."""
        return cgroups.parent(self.host)

    def run(self, *words: str) -> str:
        """Run `docker WORDS` here, which must succeed; return its output."""
        return self.host.place.run(CLIENT, *words, within=60).strip()

    def start(self) -> None:
        """Start the daemon by its unit and return when it answers."""
        before, command = self._told("ExecStartPre"), self._told("ExecStart")[-1]
        words = (" ".join(name.lstrip("-") for name in self._told("EnvironmentFile")), "; ".join(before), command)
        with (self.home / "log").open("a") as log:
            path = {"PATH": f"{DIST / 'bin'}:{PATH}"}
            self.job = self.host.place.start("sh", "-ec", START, "systemd", *words, env=path, log=log)
        until(lambda: not self.host.place.attempt(CLIENT, "version").returncode, "dockerd answers", within=30)

    def stop(self) -> None:
        """End the daemon, and with it its containers; return when it has ended."""
        if self.job is not None:
            self.host.place.run(
                "kill", "-s", signal.SIGTERM.name, self.host.place.run("cat", "/run/docker.pid").strip()
            )
            self.job.wait(30)
            self.job = None

    def close(self) -> None:
        """Remove every container, stop, and remove the groups Docker made for them: cgroups are the machine's."""
        if self.job is not None:
            for container in self.run("ps", "--all", "--quiet").split():
                self.run("rm", "--force", container)
            self.stop()
        cgroups.remove(self.group)

    def _told(self, key: str) -> list[str]:
        """Return a key's values in the unit and its drop-ins; an empty one takes those before it back."""
        files = f"cat {FOLDER}/docker.service; for file in {FOLDER}/docker.service.d/*.conf; do cat $file; done"
        values: list[str] = []
        for line in self.host.place.run("sh", "-c", f"({files}) 2>/dev/null || :").replace("\\\n", " ").splitlines():
            name, _, value = line.partition("=")
            if name == key:
                values = [*values, value] if value else []
        return values


def make(host: Host) -> Docker:
    """Give a pretend host a docker.service, not started, and a /etc of its own."""
    home = host.workdir / f"docker-{host.name}"
    home.mkdir()
    host.place.run("sh", "-c", LAYOUT, "layout", home)
    made = Docker(host, home)
    host.place.run("sh", "-c", f"cat >{FOLDER}/docker.service", stdin=SERVICE.format(group=made.group))
    image.write(home / "image.tar")
    return made
