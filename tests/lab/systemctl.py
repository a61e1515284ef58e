"""Stands in for `systemctl` on a pretend host, where systemd does not run: starts and stops services as their installed units say.

It knows what the units of our pages rely on: Environment, EnvironmentFile, ExecStart without variables, RuntimeDirectory, Type=notify with
its READY=1, KillMode=process. Must not be taken for systemd: nothing is confined, restarted or watched.
"""

import os
import select
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

UNITS = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/lib/systemd/system")
STATE = Path("/run/systemd/services")


def main(words: list[str]) -> None:
    """Serve one command line: VERB [--now] UNIT..."""
    verb, *names = [word for word in words if word != "--now"]
    now = "--now" in words
    for name in (Path(name).stem for name in names):
        settings = unit(name)
        if verb in ("stop", "restart") or (verb == "disable" and now):
            stop(name)
        if verb in ("start", "restart") or (verb == "enable" and now):
            start(name, settings)


def unit(name: str) -> list[tuple[str, str]]:
    """Return the assignments of a unit, in order."""
    found = next((path for folder in UNITS if (path := Path(folder, f"{name}.service")).is_file()), None)
    if found is None:
        raise SystemExit(f"Failed to enable unit: Unit file {name}.service does not exist.")
    lines = (line for line in found.read_text().splitlines() if "=" in line and not line.startswith("#"))
    return [(key, value.replace("%p", name)) for key, _, value in (line.partition("=") for line in lines)]


def start(name: str, settings: list[tuple[str, str]]) -> None:
    """Start a service unless it runs, and return when it is ready."""
    if running(name):
        return
    for folder in (folder for key, value in settings if key == "RuntimeDirectory" for folder in value.split()):
        Path("/run", folder).mkdir(exist_ok=True)
    STATE.mkdir(parents=True, exist_ok=True)
    address, log = STATE / f"{name}.ready", STATE / f"{name}.log"
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, log.open("a") as said:
        ready.bind(str(address))
        command = [word for word in shlex.split(dict(settings)["ExecStart"]) if not word.startswith("$")]
        environ = {**environment(settings), "NOTIFY_SOCKET": str(address)}
        job = subprocess.Popen(command, env=environ, stdout=said, stderr=said, cwd="/", start_new_session=True)
        (STATE / f"{name}.pid").write_text(str(job.pid))
        if not heard(ready, os.pidfd_open(job.pid)):
            raise SystemExit(f"Job for {name}.service failed: {log.read_text()}")


def environment(settings: list[tuple[str, str]]) -> dict[str, str]:
    """Return the environment of a service: ours, and what the unit says."""
    words = [value for key, value in settings if key == "Environment"]
    files = [Path(value.removeprefix("-")) for key, value in settings if key == "EnvironmentFile"]
    words += [file.read_text() for file in files if file.exists()]
    return dict(os.environ) | dict(word.split("=", 1) for text in words for word in shlex.split(text, comments=True))


def heard(ready: socket.socket, gone: int) -> bool:
    """Wait until a service is ready, and tell whether it is: it may end instead, or say nothing for a minute."""
    while True:
        told = select.select([ready.fileno(), gone], [], [], 60)[0]
        if ready.fileno() not in told:
            return False
        if b"READY=1" in ready.recv(4096).splitlines():
            return True


def stop(name: str) -> None:
    """End a service and wait for its end."""
    if pid := running(name):
        gone = os.pidfd_open(pid)
        os.kill(pid, signal.SIGTERM)
        select.select([gone], [], [], 30)
    (STATE / f"{name}.pid").unlink(missing_ok=True)


def running(name: str) -> int:
    """Return the number of a service's process, 0 when there is none."""
    try:
        pid = int((STATE / f"{name}.pid").read_text())
        return pid if "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] else 0
    except FileNotFoundError:
        return 0


if __name__ == "__main__":
    main(sys.argv[1:])
