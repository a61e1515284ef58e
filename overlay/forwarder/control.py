"""The protocol between tulled and a forwarder: the whole state as one JSON document, over a Unix socket.

The socket is a file in a directory that only root can enter, named by network namespace and device, so that a container
on the host's network cannot reach it. Both sides check the other end with the kernel's credentials. Forwarders of
earlier versions listen on an abstract name, which any process in the network namespace can reach or take; they are
stopped, if they can be trusted.
"""

import errno
import json
import os
import signal
import socket
import stat
import struct
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from kernel import netns
from kernel.errors import KernelError

FOLDER = Path("/run/tulle/forwarder")
PATIENCE = 2.0
"""Seconds one side waits for all that the other has to say."""
LONGEST = 16 * 1024 * 1024
"""Bytes of the longest order or answer; a route takes 40."""
STOP = b"stop"
SO_PEERPIDFD = 77  # asm-generic/socket.h
CAP_NET_ADMIN = 12  # linux/capability.h


@dataclass(frozen=True, slots=True)
class State:
    """All a forwarder works with: its device and socket, which never change, and its routes and address, which do.

    `source` is the address its ICMP answers come from, `owner` the lease file of the daemon that started it. `subnet`
    is this host's: what arrives must be for it, and come from the subnet of the host that sent it, or from any peer's
    if `allowed` has the sender.
    """

    device: str
    """The TUN device."""
    bind: IPv4Address
    """The address to send from and to receive on."""
    port: int
    """The UDP port of all hosts."""
    owner: str
    """The lease file of the daemon that started the forwarder."""
    source: IPv4Address
    """The source of its ICMP answers."""
    subnet: IPv4Network
    """This host's subnet, which packets that arrive must be for."""
    routes: frozenset[tuple[IPv4Network, IPv4Address]] = frozenset()
    """The subnets of other hosts, each with the host's address."""
    allowed: tuple[IPv4Network, ...] = ()
    """Networks whose addresses may send for any peer, such as peers behind NAT."""

    def same_process(self, other: "State") -> bool:
        """Return whether one process can go from one state to the other."""
        return (self.device, self.bind, self.port, self.owner) == (other.device, other.bind, other.port, other.owner)


def encode(state: State) -> bytes:
    """Write a state."""
    routes = sorted([str(network), str(host)] for network, host in state.routes)
    members = {"device": state.device, "bind": str(state.bind), "port": state.port, "owner": state.owner}
    inside = {"source": str(state.source), "subnet": str(state.subnet), "allowed": list(map(str, state.allowed))}
    return json.dumps({**members, **inside, "routes": routes}).encode()


def decode(data: bytes) -> State:
    """Read a state; ValueError when it is none."""
    members = _members(data)
    try:
        return State(
            *(_text(members["device"]), IPv4Address(members["bind"]), int(members["port"]), _text(members["owner"])),
            *(IPv4Address(members["source"]), IPv4Network(members["subnet"])),
            frozenset((IPv4Network(network), IPv4Address(host)) for network, host in members["routes"]),
            tuple(map(IPv4Network, members["allowed"])),
        )
    except (KeyError, TypeError, OverflowError) as problem:
        raise ValueError(f"no forwarder's state: {problem}") from problem


def _members(data: bytes) -> dict[str, Any]:
    try:
        members = json.loads(data)
    except RecursionError:
        raise ValueError("no forwarder's state: nested too deeply") from None
    if not isinstance(members, dict):
        raise ValueError("no forwarder's state: not an object")  # noqa: TRY004 - callers catch what is wrong with the data
    return members


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def path(device: str) -> Path:
    """Return where the socket of a device in this network namespace is."""
    with netns.current() as here:
        return FOLDER / f"{here.identity[1]}.{device}"


def listen(place: Path) -> socket.socket:
    """Listen at `place`, in a directory that is nobody else's; what is left there from an earlier forwarder is replaced.

    Only for who has the device: nobody else can be listening for it then. Raises OSError, or KernelError naming the
    directory.
    """
    for folder in (place.parent.parent, place.parent):
        _own(folder, 0o700 if folder == place.parent else 0o755)
    place.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(place))
        place.chmod(0o600)
        sock.listen(8)
    except OSError:
        sock.close()
        raise
    return sock


def _own(folder: Path, mode: int) -> None:
    """Make a directory with this mode whatever the umask; take from an earlier one what `mode` does not give to others."""
    try:
        folder.mkdir()
        folder.chmod(mode)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            what = f"making the directory {folder}"
            raise KernelError(errno.EEXIST, what, "what is there is not a directory of ours; remove it") from None
        if found.st_mode & 0o077 & ~mode:
            folder.chmod(mode)


def trusted(peer: socket.socket) -> bool:
    """Return whether the other end is root or our own user, in our user namespace, and may change the network.

    uid 0 alone means little: a container's root without capabilities has it, and so may one in a user namespace of its
    own. Whose namespace cannot be looked at holds more capabilities than we do. The process is held by a descriptor
    while its number is used.
    """
    pid, user, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if pid <= 0 or user not in (0, os.geteuid()):
        return False
    held = -1
    try:
        held = _process(peer, pid)
        able = _elsewhere(pid) is not True and _capabilities(pid) >> CAP_NET_ADMIN & 1 == 1
        signal.pidfd_send_signal(held, 0)  # it has its number still
    except OSError:
        return False
    finally:
        if held >= 0:
            os.close(held)
    return able


def _process(peer: socket.socket, pid: int) -> int:
    try:
        return peer.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except OSError:  # before Linux 6.5
        return os.pidfd_open(pid)


def _elsewhere(pid: int) -> bool | None:
    """Return whether a process is in another user namespace than we are; None when we may not know."""
    try:
        return not Path(f"/proc/{pid}/ns/user").samefile("/proc/self/ns/user")
    except PermissionError:
        return None


def _capabilities(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)


def ask(device: str, order: bytes = b"") -> State | None:
    """Give an order (a state to take over, STOP, nothing) and return the state after it; None when no forwarder runs.

    Raises KernelError when whoever listens is a stranger or gives no answer.
    """
    what = f"talking to the forwarder of {device}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(PATIENCE)
            line.connect(str(path(device)))
            answer = decode(_answer(line, order)) if trusted(line) else None
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return None
    except KernelError:
        raise
    except (OSError, ValueError) as problem:
        number = problem.errno if isinstance(problem, OSError) and problem.errno else errno.EIO
        raise KernelError(number, what, f"{problem}; end that process by hand") from problem
    if answer is None:
        raise KernelError(errno.EADDRINUSE, what, "its socket is held by another user's process")
    return answer


def earlier(device: str, order: bytes = b"") -> str | None:
    """Give an order (STOP, nothing) to a forwarder that listens on the abstract name of before, and return its owner.

    None when there is none, or only a process that is not trusted: anybody can take such a name, and gets no word from
    us.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(PATIENCE)
            line.connect(f"\0tulle-forwarder/{device}")
            return _text(_members(_answer(line, order)).get("owner")) if trusted(line) else None
    except (OSError, ValueError, TypeError):
        return None


def _answer(line: socket.socket, order: bytes) -> bytes:
    line.sendall(order)
    line.shutdown(socket.SHUT_WR)
    return received(line)


def received(line: socket.socket) -> bytes:
    """Read all until the other side has said everything; TimeoutError after PATIENCE, OSError when it says too much."""
    parts, length, end = [], 0, time.monotonic() + PATIENCE
    while part := line.recv(65_536):
        parts.append(part)
        length += len(part)
        if length > LONGEST:
            raise OSError(errno.EMSGSIZE, f"more than {LONGEST} bytes")
        rest = end - time.monotonic()
        if rest <= 0:
            raise TimeoutError(errno.ETIMEDOUT, f"not everything was said in {PATIENCE:.0f} s")
        line.settimeout(rest)
    return b"".join(parts)
