"""Finds, starts, tells and ends aardvark-dns, which answers for names on Podman's own networks; the only place that starts it.

It reads a folder of files, serves in the background, writes its pid beside the files and reads them again on SIGHUP. Ours is one of our
folder in this network namespace that runs as this user: whose pid stands beside the files, which this user alone may write, or that runs the
very program we would start. Anybody can have that name and that command line. Must not know what the files say.
"""
# pathlib costs milliseconds that every container's start would pay:
# ruff: noqa: PTH108, PTH112, PTH115, PTH116, PTH118, PTH120, PTH123, PTH208

from __future__ import annotations

import itertools
import os
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from kernel import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROGRAM = "aardvark-dns"
TOLD = "--aardvark-binary"
"""Behind it netavark, which starts us, has the path that Podman found."""

PLACES = ("/usr/local/libexec/podman", "/usr/local/lib/podman", "/usr/libexec/podman", "/usr/lib/podman")
"""Where Podman looks for its helpers (containers.conf(5), helper_binaries_dir)."""

PORT = "53"
"""A resolv.conf cannot say another."""

PID = "aardvark.pid"
BOOTED = "/run/systemd/system"
"""There while systemd runs the host (sd_booted(3)): a server started inside a service would end with it, so it gets a scope."""

PATIENCE = 2.0
"""Seconds that a server may take to start or to end; milliseconds are usual."""


class SilentError(Exception):
    """There is no name server; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class NameServer:
    """The server of `folder`, which exists; `caller` is the process that may know where the program is."""

    folder: str
    caller: int
    environ: Mapping[str, str]
    booted: str = BOOTED

    def serve(self) -> None:
        """Have the server read its folder, starting one where there is none: then it listens on return. Raises SilentError."""
        if not self.reload():
            self._start()

    def reload(self) -> bool:
        """Have the server read its folder; tell whether there is one."""
        from signal import SIGHUP, pidfd_send_signal  # noqa: PLC0415 - costs a millisecond, and most calls have no names

        with self._processes() as found:
            for process in found:
                with suppress(ProcessLookupError):
                    pidfd_send_signal(process, SIGHUP)
            return bool(found)

    def runs(self) -> bool:
        """Tell whether there is a server."""
        with self._processes() as found:
            return bool(found)

    def end(self) -> None:
        """End the server and return when it is gone; by itself it would go later, and might miss who comes meanwhile."""
        from signal import SIGKILL, SIGTERM, pidfd_send_signal  # noqa: PLC0415 - as above

        with self._processes() as found:
            for process in found:
                for number in (SIGTERM, SIGKILL):
                    with suppress(ProcessLookupError):
                        pidfd_send_signal(process, number)
                    if _ended(process, PATIENCE):
                        break
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self.folder, PID))

    def find(self) -> str:
        """Return the path of the program: as our caller was told, beside our caller, or where Podman looks; empty if nowhere."""
        words = _words(self.caller)
        told = next((path for word, path in itertools.pairwise(words) if word == TOLD), "")
        if told and os.access(told, os.X_OK):
            return told
        places: tuple[str, ...] = PLACES
        with suppress(OSError):
            places = (os.path.dirname(os.readlink(f"/proc/{self.caller}/exe")), *PLACES)
        return spawn.find(PROGRAM, places) or ""

    def _start(self) -> None:
        program = self.find()
        if not program:
            raise SilentError(f"{PROGRAM} is not installed; Debian has it in the package {PROGRAM}")
        words = [program, "--config", self.folder, "--port", PORT, "run"]
        scope = spawn.find("systemd-run", self.environ.get("PATH", os.defpath).split(":"))
        ways = [words]
        if scope and os.path.isdir(self.booted):
            ways.insert(0, [scope, "--quiet", "--scope", *words])
        problem = ""
        for way in ways:  # where systemd gives no scope, names that end with a service are better than none
            problem = _run(way, self.environ)
            if not problem:
                return
        raise SilentError(f"{program} does not start: {problem}")

    @contextmanager
    def _processes(self) -> Iterator[list[int]]:
        """Yield descriptors of our servers: of the one that wrote its pid, else of whatever process runs our program as one."""
        with ExitStack() as opened:
            found = self._ours(self._written(), opened)
            yield found or self._ours(self._running(), opened)

    def _ours(self, pids: Iterator[str], opened: ExitStack) -> list[int]:
        found = []
        for pid in pids:
            with suppress(OSError):
                if self._serves(pid):
                    process = os.pidfd_open(int(pid))
                    opened.callback(os.close, process)
                    if self._serves(pid):  # the number may have gone to another process in between
                        found.append(process)
        return found

    def _written(self) -> Iterator[str]:
        with suppress(OSError), open(os.path.join(self.folder, PID), encoding="ascii", errors="replace") as file:
            text = file.read(16)
            if text.isascii() and text.isdecimal():
                yield text

    def _running(self) -> Iterator[str]:
        """Yield the pids of processes that run the program that we would start."""
        with suppress(OSError):
            program = os.stat(self.find())
            for pid in filter(str.isdecimal, os.listdir("/proc")):
                with suppress(OSError):
                    if os.path.samestat(os.stat(f"/proc/{pid}/exe"), program):
                        yield pid

    def _serves(self, pid: str) -> bool:
        words = _words(int(pid))
        return (
            ("--config", self.folder) in itertools.pairwise(words)
            and _network(pid) == _network("thread-self")
            and _users(pid) == {os.geteuid()}
        )


def _words(pid: int) -> list[str]:
    """Return the command line of a process; nothing of one that is gone."""
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return os.fsdecode(file.read()).split("\0")
    return []


def _network(pid: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/net")


def _users(pid: str) -> set[int]:
    """Return the real, effective, saved and file system user of a process; the owner of its folder in /proc would not tell them."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return next(({int(user) for user in line.split()[1:]} for line in file if line.startswith("Uid:")), set())


def _run(words: list[str], environ: Mapping[str, str]) -> str:
    """Run what goes to the background when it is ready; return what it complained of if it failed, empty if not."""
    import subprocess  # noqa: PLC0415 - only when a server is really started

    nothing, pipe = subprocess.DEVNULL, subprocess.PIPE
    try:
        child = subprocess.Popen(
            words, stdin=nothing, stdout=nothing, stderr=pipe, env=dict(environ), cwd="/", start_new_session=True
        )
    except OSError as error:
        return error.strerror or str(error)
    with child:
        process = os.pidfd_open(child.pid)
        late = not _ended(process, PATIENCE)
        os.close(process)
        if late:
            os.killpg(child.pid, 9)
            return f"it was not ready after {PATIENCE:.0f} s"
        if not child.wait():
            return ""
        said = b""
        with suppress(subprocess.TimeoutExpired):  # the half in the background says the reason, perhaps last
            _, said = child.communicate(timeout=PATIENCE)
    return ", ".join(said.decode(errors="replace").split("\n")).strip(", ") or f"exit code {child.returncode}"


def _ended(process: int, seconds: float) -> bool:
    """Wait for a process to end; tell whether it did."""
    import select  # noqa: PLC0415 - as with signal

    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
