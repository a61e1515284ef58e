"""Has a local user, a container with the host's network, and files that are none get in the way of the built programs on a pretend host.

- files: pipes, devices without end, nested JSON, links in circles, terminal escapes, wherever a program reads what others write;
  every command ends in seconds, says so in lines that a terminal prints, and without a traceback
- locks: whatever an unprivileged user can open he holds, while containers come and go
- sockets: whoever is not root with all rights gets nothing from any socket that our processes listen on, and stops nobody
- modes: with umask 000 nobody gets a file, folder or socket that others may write

Must not know where programs keep their things: it looks. Blind spot: what root does, and load.
"""

import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from tests.attack.figures import Budget, Figures
from tests.lab import machine, netavark
from tests.lab.daemon import DIST
from tests.lab.hosts import Host, Lab
from tests.lab.runtime import PluginError
from tests.lab.waiting import until
from tests.lab.world import PATH, LabError

PATIENCE = 15
"""Seconds that a command may take; each waits for a lock or an agent at most ten."""
TULLE = str(DIST / "bin" / "tulle")
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
CONTAINER = (
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--mount-proc",
    "--",
    "setpriv",
    "--bounding-set=-all",
    "--inh-caps=-all",
)
STRANGERS = {"a user": NOBODY, "uid 0 in a container on the host's network, without capabilities": CONTAINER}
ESCAPE = re.compile("[\x00-\x08\x0b-\x1f\x7f\x9b]")
LEASE = "/run/flannel/subnet.env"

KINDS = {
    "a pipe": 'mkfifo "$1"',
    "/dev/zero": 'ln -s /dev/zero "$1"',
    "/dev/full": 'ln -s /dev/full "$1"',
    "a terminal's escapes": 'printf \'{"cniVersion":"1.0.0","name":"\\\\u001b[2J\\033[31m","type":"\\033]0;x\\007"}\' >"$1"',
    "nested JSON": 'head -c 200000 /dev/zero | tr "\\\\0" "[" >"$1"',
    "nested objects": 'yes \'{"a":\' | head -n 50000 | tr -d "\\n" >"$1"',
    "a number without end": 'printf "{\\"cniVersion\\": 1%0200000d}" 0 >"$1"',
    "null bytes": 'head -c 100000 /dev/zero >"$1"',
    "no text": 'head -c 100000 /dev/urandom >"$1"',
    "a sparse gigabyte": 'truncate -s 1G "$1"',
    "a folder": 'mkdir "$1"',
    "a link to itself": 'ln -s "$1" "$1"',
    "a link to nowhere": 'ln -s /no/such "$1"',
    "nothing": ': >"$1"',
    "what nobody may read": 'echo "{}" >"$1"; chmod 0 "$1"',
    "NaN": 'echo \'{"cniVersion": NaN, "name": 1e999, "plugins": [NaN]}\' >"$1"',
}
PLACES = (
    "/etc/cni/net.d/10-odd.conflist",
    "/etc/cni/net.d/00-odd.conf",
    "/var/lib/cni/results/odd-c1-eth0",
    "/var/lib/cni/cache/results/odd-c1-eth0",
    "/etc/containers/networks/odd.json",
    "/etc/default/tulled",
    "/etc/docker/daemon.json",
    "/run/tulle/networks/odd",
    "/run/flannel/odd.env",
    LEASE,
)
COMMANDS = (
    ("lint", "/etc/cni/net.d"),
    ("doctor",),
    ("gc", "--dry-run"),
    ("repair", "--dry-run"),
    ("status",),
    ("init", "--dry-run", "podman"),
    ("join", "--dry-run", "--offline", "192.168.1.11", "192.168.1.12"),
)
HOLD = """
import fcntl, os, sys, time
held = []
def take(path):
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held.append(path)
    except OSError:
        os.close(file)
take("/proc/self/ns/net"), take("/proc/self/ns/mnt")
for top in sys.argv[1:]:
    for folder, _, files in os.walk(top):
        for path in (folder, *(os.path.join(folder, file) for file in files)):
            take(path)
print(len(held), flush=True)
time.sleep(600)
"""
SPEAK = """
import socket, sys
for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
    with socket.socket(socket.AF_UNIX, kind) as door:
        door.settimeout(2)
        try:
            door.connect(sys.argv[1].replace("@", "\\0", 1) if sys.argv[1].startswith("@") else sys.argv[1])
            door.sendall(sys.argv[2].encode())
            if kind != socket.SOCK_SEQPACKET:
                door.shutdown(socket.SHUT_WR)
            print(repr(door.recv(65536)))
        except OSError as error:
            print(error.strerror or error)
"""
WORDS = ("", "stop", "{}", "status", '{"routes": []}', "x" * 5000)
WRITABLE = "find /run /var/lib/cni /var/lib/tulle /etc/tulle /etc/default -xdev -perm /o+w ! -type l ! -perm -1000 2>/dev/null || :"


@dataclass(frozen=True, slots=True)
class Case:
    """An attempt: what it is, and what carries it out and says what did not hold."""

    words: str
    flaw: Callable[[], str]


def tulle(host: Host, *words: str, umask: str = "022") -> "subprocess.CompletedProcess[str]":
    """Run one of our commands as a person does."""
    path = {"PATH": PATH, "HOME": "/root"}
    return host.place.attempt("sh", "-c", f'umask {umask}; exec "$@"', "sh", TULLE, *words, env=path, within=PATIENCE)


def file_cases(host: Host) -> Iterator[Case]:
    """Yield every kind of file at every place, before every command."""
    for (kind, script), path, words in itertools.product(KINDS.items(), PLACES, COMMANDS):
        yield Case(f"tulle {' '.join(words)} with {kind} at {path}", partial(_read, host, script, path, words))
    for (kind, script), program in itertools.product(KINDS.items(), ("bridge", "flannel", "host-local")):
        yield Case(f"{program} ADD with {kind} as the lease file", partial(_added, host, script, program))


def _read(host: Host, script: str, path: str, words: Sequence[str]) -> str:
    with _laid(host, script, path):
        try:
            return _unfit(tulle(host, *words))
        except subprocess.TimeoutExpired:
            return f"no end after {PATIENCE} s"


def _added(host: Host, script: str, program: str) -> str:
    lent = {"subnetFile": "/run/flannel/odd.env", "bridge": "odd0", "delegate": {"bridge": "odd0"}}
    document = {"cniVersion": "1.0.0", "name": "odd", "type": program, **lent, "ipam": {"type": "host-local", **lent}}
    environ = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "odd", "CNI_NETNS": "/run/netns/spare", "CNI_IFNAME": "eth0"}
    environ |= {"CNI_PATH": str(DIST / "cni"), "PATH": PATH}
    with _laid(host, script, "/run/flannel/odd.env"):
        try:
            done = host.place.attempt(DIST / "cni" / program, stdin=json.dumps(document), env=environ, within=PATIENCE)
        except subprocess.TimeoutExpired:
            return f"no end after {PATIENCE} s"
        answer = json.loads(done.stdout)
        return _unfit(done) or ("" if answer.get("code", 999) != 999 else f"answered {done.stdout[:200]}")


@contextmanager
def _laid(host: Host, script: str, path: str) -> Iterator[None]:
    """Lay something at a path for the time of the block, in the place of what is there."""
    keep = f'mkdir -p "${{1%/*}}"; [ ! -e "$1" ] || mv "$1" /run/kept; {script}'
    host.place.run("sh", "-ec", keep, "sh", path)
    try:
        yield
    finally:
        host.place.run("sh", "-ec", 'rm -rf "$1"; [ ! -e /run/kept ] || mv /run/kept "$1"', "sh", path)


def _unfit(done: "subprocess.CompletedProcess[str]") -> str:
    """Return what no command may do, whatever it read."""
    said = done.stdout + done.stderr
    if "Traceback" in said or done.returncode < 0 or done.returncode > 127:
        return f"exit {done.returncode}: {said[-300:]}"
    return f"prints {ESCAPE.findall(said)[:3]}" if ESCAPE.search(said) else ""


def lock_cases(host: Host) -> Iterator[Case]:
    """Yield what must go on while strangers hold every lock that they can get."""
    acts: dict[str, Callable[[], str]] = {
        "a container comes and goes": partial(_comes_and_goes, host),
        "tulle gc": lambda: _unfit(tulle(host, "gc", "--dry-run")),
        "tulle doctor": lambda: _unfit(tulle(host, "doctor")),
        "the driver sets up and tears down": partial(_driven, host),
    }
    for (who, situation), (what, act) in itertools.product(STRANGERS.items(), acts.items()):
        yield Case(f"{what} while {who} holds every lock he can", partial(_held, host, situation, act))


def _held(host: Host, situation: Sequence[str], act: Callable[[], str]) -> str:
    # a container has no folder of the host's, and /run/netns is `ip netns`', which waits for it for ever
    tops = ("/run/tulle", "/run/flannel", "/var/lib", "/etc/cni", "/etc/default") if situation is NOBODY else ()
    job = host.place.start(*situation, sys.executable, "-IS", "-c", HOLD, *tops, log=subprocess.PIPE)
    try:
        assert job.stdout is not None
        if int(job.stdout.readline()) < 1:  # a namespace's file can be had by anybody
            raise LabError("nobody holds locks")
        return act()
    except subprocess.TimeoutExpired as late:
        return f"no end after {late.timeout} s"
    finally:
        ended(job)


def ended(job: "subprocess.Popen[str]") -> None:
    """Kill what a place runs for us, whatever it forked: the group that it was started as the leader of."""
    os.killpg(job.pid, signal.SIGKILL)
    job.wait(10)


def _comes_and_goes(host: Host) -> str:
    try:
        host.add("brief")
        host.remove("brief")
    except (PluginError, LabError, subprocess.TimeoutExpired) as refused:
        host.place.attempt("ip", "netns", "delete", "brief")
        return str(refused)
    return ""


def _driven(host: Host) -> str:
    document = {
        "container_id": "2" * 64,
        "container_name": "two",
        "network": netavark.create(host, "web") | {"dns_enabled": False},
        "network_options": {"interface_name": "eth0", "aliases": ["two"]},
        "port_mappings": [netavark.port(8082, 80)],
    }
    for verb in ("setup", "teardown"):
        command = (DIST / "netavark" / "tulle", verb, "/run/netns/spare")
        done = host.place.attempt(*command, stdin=json.dumps(document), env={"PATH": PATH}, within=PATIENCE)
        if done.returncode:
            return f"{verb}: {done.stdout}{done.stderr}"
    return ""


def socket_cases(host: Host) -> Iterator[Case]:
    """Yield words of strangers to every socket that listens on the host."""
    lines = host.place.run("cat", "/proc/net/unix").splitlines()[1:]
    names = sorted({line.split()[7] for line in lines if len(line.split()) > 7 and "tulle" in line})
    for (who, situation), name, words in itertools.product(STRANGERS.items(), names, WORDS):
        if situation is CONTAINER and name.endswith(".status"):
            continue  # root's alone by its folder, which no container has; the others ask who it is
        yield Case(f"{who} says {words[:20]!r} to {name}", partial(_spoken, host, situation, name, words))


def _spoken(host: Host, situation: Sequence[str], name: str, words: str) -> str:
    done = host.place.attempt(*situation, sys.executable, "-IS", "-c", SPEAK, name, words, within=PATIENCE)
    heard = [
        line
        for line in done.stdout.splitlines()
        if line.startswith("b'") and line != "b''" and not line.startswith("b'D")
    ]
    if heard:
        return f"answered {heard[0][:200]}"
    return "" if not tulle(host, "agent", "status").returncode else "the agent is gone"


def mode_cases(host: Host) -> Iterator[Case]:
    """Yield commands with umask 000."""
    acts: dict[str, Callable[[], object]] = {
        "gc": lambda: tulle(host, "gc", umask="000"),
        "join": lambda: tulle(host, "join", "--offline", "192.168.1.11", "192.168.1.12", umask="000"),
        "init": lambda: tulle(host, "init", "podman", umask="000"),
        "init --undo": lambda: tulle(host, "init", "--undo", umask="000"),
        "repair": lambda: tulle(host, "repair", umask="000"),
        "ADD": partial(_attached, host),
    }
    for what, act in acts.items():

        def writable(act: Callable[[], object] = act) -> str:
            before = set(host.place.run("sh", "-c", WRITABLE).splitlines())
            act()
            return " ".join(sorted(set(host.place.run("sh", "-c", WRITABLE).splitlines()) - before))

        yield Case(f"{what} with umask 000", writable)


def _attached(host: Host) -> None:
    environ = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "loose", "CNI_NETNS": "/run/netns/spare", "CNI_IFNAME": "eth5"}
    environ |= {"CNI_PATH": str(DIST / "cni"), "PATH": PATH, "TULLE_AGENT": "/none"}
    plugin = json.dumps({**host.runtime.conflist.plugins[0], "name": "loose", "cniVersion": "1.0.0"})
    for verb in ("ADD", "DEL"):
        command = ("sh", "-c", f"umask 000; exec {DIST / 'cni' / 'bridge'}")
        host.place.attempt(*command, stdin=plugin, env={**environ, "CNI_COMMAND": verb}, within=PATIENCE)


@contextmanager
def staged() -> Iterator[Host]:
    """Make a host whose daemon, forwarder (backend `udp`) and agent were started with umask 000."""
    with Lab({"host-a": 1}) as lab:
        host = lab.hosts["host-a"]
        machine.furnish(host, ("podman",))
        host.place.run("mount", "-t", "tmpfs", "tmpfs", "/dev/shm")
        config = lab.workdir / "network.json"
        config.write_text(json.dumps({"Network": "10.42.0.0/16", "Backend": {"Type": "udp"}}))
        loose = host.workdir / "tulled"
        loose.write_text(f'#!/bin/sh\numask 000\nexec {DIST / "bin" / "tulled"} "$@"\n')
        loose.chmod(0o755)
        host.start_daemon("--network", "", "--net-config", str(config), "--ip-masq", program=loose).wait_ready()
        host.place.start("sh", "-c", f"umask 000; exec {TULLE} agent --workers 2", env={"PATH": PATH})
        until(lambda: not tulle(host, "agent", "status").returncode, "the agent answers", within=60)
        host.place.ip("netns add spare")
        host.add("kept")
        yield host


def campaign(budget: Budget) -> Figures:
    """Try what strangers and files may do on one host."""
    figures = Figures()
    with staged() as host:
        first = Case(
            "tulled and the agent, started with umask 000", lambda: host.place.run("sh", "-c", WRITABLE).strip()
        )
        decks = [list(kind(host)) for kind in (file_cases, lock_cases, socket_cases, mode_cases)]
        for deck in decks:
            random.Random(budget.seed).shuffle(deck)
        drawn = [first, *(case for row in itertools.zip_longest(*decks) for case in row if case is not None)]
        for case in budget.until_spent(drawn):
            figures.tried += 1
            if flaw := case.flaw():
                figures.broken.append(f"{case.words}: {flaw}")
        if flaw := _comes_and_goes(host):
            figures.broken.append(f"no container comes and goes afterwards: {flaw}")
    return figures
