"""A private world to run pretend hosts in: processes held in network, mount and process namespaces of their own.

Everything of a world hangs on its first process: when that one dies the kernel kills the rest and takes links, mounts and rules with
them, so nothing can stay behind whatever happens here. An ordinary user gets the same inside a user namespace.
Must not know addresses, daemons or containers. Blind spot: files are shared with the machine except where a mount covers them.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOBODY_ELSE = ("--net", "--mount", "--pid")
COVER = "mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/lib && mkdir -p /run/netns /var/lib/cni"


class LabError(Exception):
    """The lab itself could not do its part; the text is for the person who runs it."""


class CommandFailedError(LabError):
    """A command in a place ended with an exit code other than 0."""

    def __init__(self, place: str, done: subprocess.CompletedProcess[str]) -> None:
        words = " ".join(map(str, done.args))
        super().__init__(
            f"on {place}: exit {done.returncode} from {words}\n{done.stderr.strip() or done.stdout.strip()}"
        )
        self.code = done.returncode


def tool(name: str) -> str:
    """Return the absolute path of a system tool; it must not depend on the caller's PATH."""
    found = shutil.which(name, path=PATH)
    if found is None:
        raise LabError(f"{name} is not in {PATH}: `make setup` installs what the lab needs")
    return found


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere to run commands: a name for people, the words that lead there, and the jobs started so far."""

    name: str
    prefix: tuple[str, ...]
    jobs: list[subprocess.Popen[str]] = field(default_factory=list, compare=False, repr=False)

    def inside(self, namespace: str) -> "Place":
        """Return the network namespace of that name below this place's /run/netns."""
        return Place(
            f"{self.name}/{namespace}",
            (*self.prefix, tool("nsenter"), f"--net=/run/netns/{namespace}", "--"),
            self.jobs,
        )

    def attempt(
        self,
        *command: str | Path,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        within: float = 30,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command here to its end, at most `within` seconds, and return what it said."""
        environment = {"PATH": PATH} if env is None else env
        return subprocess.run(
            [*self.prefix, *map(str, command)],
            input=stdin,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=within,
        )

    def run(
        self, *command: str | Path, stdin: str = "", env: Mapping[str, str] | None = None, within: float = 30
    ) -> str:
        """Run a command that must succeed and return its output; CommandFailedError otherwise."""
        done = self.attempt(*command, stdin=stdin, env=env, within=within)
        if done.returncode:
            raise CommandFailedError(self.name, done)
        return done.stdout

    def start(
        self, *command: str | Path, env: Mapping[str, str] | None = None, log: IO[str] | int = subprocess.DEVNULL
    ) -> subprocess.Popen[str]:
        """Start a command in a session of its own; it ends with the world at the latest."""
        environment = {"PATH": PATH} if env is None else env
        job = subprocess.Popen(
            [*self.prefix, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
            start_new_session=True,
        )
        self.jobs.append(job)
        return job

    def ip(self, *lines: str) -> None:
        """Hand lines to one `ip -batch`; the first refused one raises CommandFailedError."""
        self.run(tool("ip"), "-batch", "-", stdin="\n".join(lines) + "\n")


def only_child(pid: int) -> int:
    """Return the process that nsenter or unshare forked into the world, as numbered out here."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    if len(children) != 1:
        raise LabError(f"process {pid} has {len(children)} children where one was started")
    return int(children[0])


def entrance(pid: int, *, user: bool) -> tuple[str, ...]:
    """Return the words that lead into the namespaces of a process; a user enters its user namespace, too."""
    own = ("--user", "--preserve-credentials") if user else ()
    return (tool("nsenter"), f"--target={pid}", *own, *NOBODY_ELSE, "--root", "--")


def propagation() -> str:
    """Return what unshare is to do with mounts: "private", or in a chroot, where that cannot be asked for, "unchanged".

    Raises LabError where mounts made in such a chroot would show outside of the world.
    """
    if any(line.split()[4] == "/" for line in Path("/proc/self/mountinfo").read_text().splitlines()):
        return "private"
    with tempfile.TemporaryDirectory() as probe:
        shown = 'mount -t tmpfs tmpfs "$0" && { grep -q " $0 " "$1"; shown=$?; umount "$0"; [ $shown = 1 ]; }'
        command = (tool("unshare"), "--mount", "--propagation=unchanged", tool("sh"), "-c", shown, probe)
        if subprocess.run([*command, f"/proc/{os.getpid()}/mountinfo"], check=False, capture_output=True).returncode:
            raise LabError(
                "mounts made in this chroot would show outside of it: run `mount --make-rprivate /` before chroot"
            )
    return "unchanged"


class World:
    """The outermost namespaces and whatever runs in them; leaving the `with` block ends all of it."""

    def __init__(self, *, lasting: bool = False) -> None:
        """Make the world; a `lasting` one outlives this process until someone calls `end(pid)`."""
        self.user = os.geteuid() != 0
        self._jobs: list[subprocess.Popen[str]] = []
        waiting = "sleep infinity" if lasting else "cat >/dev/null"  # the pipe breaks when this process dies
        own = ("--user", "--map-root-user") if self.user else ()
        self._propagation = f"--propagation={propagation()}"
        unshare = (tool("unshare"), *own, *NOBODY_ELSE, "--fork", "--kill-child", "--mount-proc", self._propagation)
        self.pid = self._hold(*unshare, script=f"{COVER} && ip link set lo up && echo ready && {waiting}; :")
        self.place = Place("world", entrance(self.pid, user=self.user), self._jobs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hold(self, *command: str, script: str) -> int:
        """Start a process that says `ready` and stays; return its number out here."""
        holder = subprocess.Popen(
            [*command, tool("sh"), "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": PATH},
            text=True,
            start_new_session=True,
        )
        self._jobs.append(holder)
        if holder.stdout is None or holder.stdout.readline() != "ready\n":
            _, complaint = holder.communicate(timeout=10)
            raise LabError(f"this machine lets {self._who} make no namespaces: {complaint.strip()}")
        return only_child(holder.pid)

    @property
    def _who(self) -> str:
        return "an ordinary user" if self.user else "root"

    def add_namespace(self, name: str) -> Place:
        """Make a network namespace with its loopback up."""
        self.place.ip(f"netns add {name}")
        place = self.place.inside(name)
        place.ip("link set lo up")
        return Place(name, place.prefix, self._jobs)

    def add_host(self, name: str) -> Place:
        """Make a pretend host: a network and a mount namespace whose /run and /var/lib are its own."""
        network = self.add_namespace(name)
        unshare = (tool("unshare"), "--mount", self._propagation)
        pid = self._hold(*network.prefix, *unshare, script=f"{COVER} && echo ready && exec sleep infinity")
        return Place(name, entrance(pid, user=self.user), self._jobs)

    def close(self) -> None:
        """End every process of the world and wait until each is gone."""
        end(self.pid)
        for job in self._jobs:
            job.communicate(timeout=10)


def end(pid: int) -> None:
    """Kill the first process of a world, with which the kernel kills the others, and wait until none is left out here."""
    with contextlib.suppress(OSError):
        world = identity(pid)
        os.kill(pid, signal.SIGKILL)
        wait_for_end(pid)
        for member in members(world):
            wait_for_end(member)


def wait_for_end(pid: int, within: float = 10) -> None:
    """Return when a process has ended, or after `within` seconds."""
    with contextlib.suppress(ProcessLookupError):
        gone = os.pidfd_open(pid)
        try:
            select.select([gone], [], [], within)
        finally:
            os.close(gone)


def members(identity: str) -> Iterator[int]:
    """Yield the processes whose own or whose children's process namespace is `identity` (as readlink shows it)."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            if identity in {str((entry / "ns" / kind).readlink()) for kind in ("pid", "pid_for_children")}:
                yield int(entry.name)


def identity(pid: int) -> str:
    """Return the name of the process namespace a process lives in, e.g. `pid:[4026532250]`."""
    return str(Path(f"/proc/{pid}/ns/pid").readlink())
