"""Finds, starts, notifies and ends aardvark-dns, which answers for names on Podman's own networks.

It reads a directory of files, serves in the background, writes its pid beside the files, and reads them again on
SIGHUP.

A process counts as ours if it serves our directory in this network namespace as this user, and either its pid is in the
file beside the files, which only this user can write, or it runs the very program that we would start. Name and command
line alone prove nothing: any process can have them.
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
"""The word on our caller netavark's command line after which is the path that Podman found."""

PLACES = ("/usr/local/libexec/podman", "/usr/local/lib/podman", "/usr/libexec/podman", "/usr/lib/podman")
"""Where Podman looks for its helpers (containers.conf(5), helper_binaries_dir)."""

PORT = "53"
"""A resolv.conf cannot name another port."""

PID = "aardvark.pid"
BOOTED = "/run/systemd/system"
"""Exists while systemd manages the host (sd_booted(3)).

A server started inside a service would end with it, so it gets its own scope.
"""

PATIENCE = 2.0
"""Seconds that a server may take to start or to end. It usually takes milliseconds."""


class SilentError(Exception):
    """There is no name server. The text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class NameServer:
    """The name server of one directory."""

    folder: str  # of its files; it must exist
    caller: int  # process that may know the path of the program
    environ: Mapping[str, str]
    booted: str = BOOTED  # exists while systemd manages the host

    def serve(self) -> None:
        """Make the server read its directory; start one if there is none. It listens on return. Raises SilentError."""
        if not self.reload():
            self._start()

    def reload(self) -> bool:
        """Make the server read its directory, and return whether there is one."""
        from signal import SIGHUP, pidfd_send_signal  # noqa: PLC0415 - costs a millisecond, and most calls have no names

        with self._processes() as found:
            for process in found:
                with suppress(ProcessLookupError):
                    pidfd_send_signal(process, SIGHUP)
            return bool(found)

    def runs(self) -> bool:
        """Return whether there is a server."""
        with self._processes() as found:
            return bool(found)

    def end(self) -> None:
        """End the server and return when it is gone.

        It would end later by itself, and might miss a new container until then.
        """
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
        """Return the path of the program, or empty: the one our caller was told, one beside our caller, or Podman's."""
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
        for way in ways:  # without a scope from systemd: names that end with a service are better than none
            problem = _run(way, self.environ)
            if not problem:
                return
        raise SilentError(f"{program} does not start: {problem}")

    @contextmanager
    def _processes(self) -> Iterator[list[int]]:
        """Yield pidfds of our servers: of the process that wrote its pid, else of those that run our program."""
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
                    if self._serves(pid):  # meanwhile another process may have got the number
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
    """Return the command line of a process; empty if it is gone."""
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return os.fsdecode(file.read()).split("\0")
    return []


def _network(pid: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/net")


def _users(pid: str) -> set[int]:
    """Return the real, effective, saved and file system user of a process.

    The owner of its directory in /proc may be another.
    """
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return next(({int(user) for user in line.split()[1:]} for line in file if line.startswith("Uid:")), set())


def _run(words: list[str], environ: Mapping[str, str]) -> str:
    """Run a program that goes to the background when it is ready. Return its error text if it failed, else empty."""
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
        with suppress(subprocess.TimeoutExpired):  # the process in the background may write the reason last
            _, said = child.communicate(timeout=PATIENCE)
    return ", ".join(said.decode(errors="replace").split("\n")).strip(", ") or f"exit code {child.returncode}"


def _ended(process: int, seconds: float) -> bool:
    """Wait for a process to end, and return whether it did."""
    import select  # noqa: PLC0415 - as with signal

    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
