"""The one etcd of a lab: in the place outside, where every pretend host reaches it through the router.

Killed, stopped and restored as a person would; what an operator does goes through etcdctl beside it. Must not know leases or keys.
"""

import os
import signal
import subprocess  # noqa: TC003 - the type of the one job

from tests.lab import underlay
from tests.lab.hosts import Lab
from tests.lab.world import only_child, tool

URL = f"http://{underlay.OUTSIDE.ip}:2379"


class Member:
    """A member with its data in the lab's directory."""

    def __init__(self, lab: Lab) -> None:
        self.place = lab.outside
        self.data, self.backup = lab.workdir / "etcd", lab.workdir / "etcd-backup"
        self._job: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and return when it answers."""
        peer = "http://127.0.0.1:2380"
        flags = ["--name=lab", f"--data-dir={self.data}", f"--listen-client-urls={URL},http://127.0.0.1:2379"]
        flags += [f"--advertise-client-urls={URL}", f"--listen-peer-urls={peer}", f"--initial-cluster=lab={peer}"]
        flags += [f"--initial-advertise-peer-urls={peer}"]
        self._job = self.place.start(tool("etcd"), *flags)
        self.ctl("--dial-timeout=20s", "--command-timeout=20s", "get", "x")

    def kill(self) -> None:
        """Kill the process itself, not the words that led to it, and wait for its end."""
        if self._job is not None:
            os.kill(only_child(self._job.pid), signal.SIGKILL)
            self._job.wait(10)

    def copy(self, source: str, target: str) -> None:
        """Copy the data of the stopped member."""
        self.place.run("sh", "-c", f"rm -rf {target} && cp -a {source} {target}")

    def ctl(self, *words: str, stdin: str = "") -> str:
        """Run etcdctl beside it."""
        environment = {"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": "http://127.0.0.1:2379"}
        return self.place.run(tool("etcdctl"), *words, stdin=stdin, env=environment)

    def entries(self) -> dict[str, str]:
        """Return all keys with their values."""
        lines = self.ctl("get", "", "--from-key").splitlines()
        return dict(zip(lines[::2], lines[1::2], strict=True))

    def expire(self, key: str) -> None:
        """End the lease a key hangs on, as 24 hours without its host would."""
        said = self.ctl("get", "-w=fields", key).split('"Lease" : ')[1].split()[0]
        self.ctl("lease", "revoke", f"{int(said):x}")
