"""A real etcd for tests, of one member or several: own data directories and ports, started, stopped and restored as a person would.

Listens on loopback unless told otherwise. What an operator does from outside goes through etcdctl. Must not know leases or keys.
"""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.waiting import until
from tests.lab.world import LabError, tool

READY = "serving client traffic"  # "securely" or "insecurely"
HOST = "127.0.0.1"


def free_port() -> int:
    """Return a port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files of a private authority: its own certificate, and a pair that serves as server's and as client's."""

    ca: Path
    certificate: Path
    key: Path


def certificates(place: Path) -> Certificates:
    """Make an authority and a pair for 127.0.0.1 and localhost, valid for a day; neither says what its key is for."""
    files = Certificates(place / "ca.pem", place / "member.pem", place / "member.key")
    place.mkdir(exist_ok=True)
    (place / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n")
    ec = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    _openssl(place, f"req -x509 {ec} -keyout ca.key -out ca.pem -subj /CN=lab -days 1")
    _openssl(place, f"req {ec} -keyout member.key -out member.csr -subj /CN=root")
    signing = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile names"
    _openssl(place, f"x509 -req -in member.csr {signing} -out member.pem")
    return files


def _openssl(place: Path, words: str) -> None:
    subprocess.run([tool("openssl"), *words.split()], cwd=place, check=True, capture_output=True)


class Etcd:
    """One member and its data."""

    def __init__(
        self,
        place: Path,
        tls: Certificates | None = None,
        *,
        client_certificates: bool = False,
        name: str = "lab",
        group: int | None = None,
        host: str = HOST,
    ) -> None:
        """Choose ports; `group` is a group id to run as, by which a firewall can tell members from each other; `host` for clients."""
        place.mkdir(exist_ok=True)
        self.name, self.group, self._host = name, group, host
        self.place, self.data, self.log = place, place / "data", place / "log"
        self._tls, self._demanding = tls, client_certificates
        self._port, self.peer_port = free_port(), free_port()
        self.members = self.peer
        self._process: subprocess.Popen[bytes] | None = None
        self.user: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The client URL."""
        return f"{'https' if self._tls else 'http'}://{self._host}:{self._port}"

    @property
    def peer(self) -> str:
        """The name and URL other members know it by."""
        return f"{self.name}=http://{HOST}:{self.peer_port}"

    def start(self) -> "Etcd":
        """Start the member and return when it serves."""
        self.launch()
        self.served()
        return self

    def launch(self) -> None:
        """Start the member if it does not run, without waiting: one of several serves only with most of the others."""
        if self._process is not None:
            return
        self.log.write_text("")
        with self.log.open("a") as log:
            command = [tool("etcd"), *self._flags()]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.place, group=self.group)

    def served(self) -> None:
        """Return when the member serves."""
        try:
            until(self._serving, f"etcd serves ({self.log})", within=30)
        except BaseException:
            self.stop(signal.SIGKILL)
            raise

    def _serving(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise LabError(f"etcd ended: {self.log.read_text()[-2000:]}")
        return READY in self.log.read_text()

    def _flags(self) -> Sequence[str]:
        peer = self.peer.partition("=")[2]
        flags = {"name": self.name, "data-dir": self.data, "listen-client-urls": self.url, "logger": "zap"}
        flags |= {"advertise-client-urls": self.url, "listen-peer-urls": peer, "initial-advertise-peer-urls": peer}
        flags |= {"initial-cluster": self.members, "log-outputs": "stderr"}
        if self.members != self.peer:
            flags |= {"heartbeat-interval": "50", "election-timeout": "500"}
        if self._tls:
            flags |= {"cert-file": self._tls.certificate, "key-file": self._tls.key}
        if self._tls and self._demanding:
            flags |= {"client-cert-auth": "true", "trusted-ca-file": self._tls.ca}
        return [f"--{name}={value}" for name, value in flags.items()]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the member; its data stay."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(20)
            self._process = None

    def freeze(self) -> None:
        """Let the member hang: connections stay, answers do not come."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def thaw(self) -> None:
        """Let it go on."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGCONT)

    def save(self) -> None:
        """Keep a copy of the data, as a backup of a stopped member."""
        shutil.rmtree(self.place / "backup", ignore_errors=True)
        shutil.copytree(self.data, self.place / "backup")

    def restore(self) -> None:
        """Put the copy back in place of the data of the stopped member."""
        shutil.rmtree(self.data)
        shutil.copytree(self.place / "backup", self.data)

    def ctl(self, *words: str, stdin: bytes = b"") -> bytes:
        """Run etcdctl as an operator and return what it printed; raises LabError."""
        command = [tool("etcdctl"), f"--endpoints={self.url}", *self.user, *words]
        if self._tls:
            command[2:2] = [f"--cacert={self._tls.ca}", f"--cert={self._tls.certificate}", f"--key={self._tls.key}"]
        done = subprocess.run(command, input=stdin, env={"ETCDCTL_API": "3"}, capture_output=True, check=False)
        if done.returncode:
            raise LabError(f"etcdctl {' '.join(words)}: {done.stderr.decode(errors='replace')}")
        return done.stdout

    def put(self, key: str, value: bytes | str, *options: str) -> None:
        """Put a key; the value goes through stdin, so it may be any bytes."""
        data = value.encode() if isinstance(value, str) else value
        self.ctl("put", *options, "--", key, stdin=data)

    def get(self, key: str, *options: str) -> bytes:
        """Return the value of a key without the newline etcdctl adds, or what the options ask for."""
        return self.ctl("get", *(options or ("--print-value-only",)), "--", key).removesuffix(b"\n")


def cluster(place: Path) -> tuple[Etcd, ...]:
    """Give three members that know each other, each to be run as a group of its own (root), not started."""
    members = tuple(Etcd(place / f"m{number}", name=f"m{number}", group=64_000 + number) for number in range(3))
    for member in members:
        member.members = ",".join(each.peer for each in members)
    return members
