"""What tulled and a forwarder say to each other: the whole state as one JSON document, over an abstract Unix socket.

The socket's name belongs to the network namespace, as the device does: one forwarder a device, and nothing left on disk. Both
sides look at whom the kernel says they talk to; an abstract name has no permissions. Must not know how packets are carried.
"""

import errno
import json
import os
import socket
import struct
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from kernel.errors import KernelError

PATIENCE = 2.0
"""Seconds one side waits for the other."""
STOP = b"stop"


@dataclass(frozen=True, slots=True)
class State:
    """All a forwarder works with: its device and socket, which never change, and its routes and address, which do.

    `source` is the address its ICMP answers come from, `owner` the lease file of the daemon that started it.
    """

    device: str
    bind: IPv4Address
    port: int
    owner: str
    source: IPv4Address
    routes: frozenset[tuple[IPv4Network, IPv4Address]] = frozenset()

    def same_process(self, other: "State") -> bool:
        """Tell whether one process can go from one state to the other."""
        return replace(self, source=other.source, routes=other.routes) == other


def encode(state: State) -> bytes:
    """Write a state."""
    routes = sorted([str(network), str(host)] for network, host in state.routes)
    members = {"device": state.device, "bind": str(state.bind), "port": state.port, "owner": state.owner}
    return json.dumps({**members, "source": str(state.source), "routes": routes}).encode()


def decode(data: bytes) -> State:
    """Read a state; ValueError when it is none."""
    try:
        members: dict[str, Any] = json.loads(data)
        routes = frozenset((IPv4Network(network), IPv4Address(host)) for network, host in members["routes"])
        bind, source = IPv4Address(members["bind"]), IPv4Address(members["source"])
        return State(members["device"], bind, int(members["port"]), members["owner"], source, routes)
    except (KeyError, TypeError) as problem:
        raise ValueError(f"no forwarder's state: {problem}") from problem


def name(device: str) -> str:
    """Give the socket's abstract name."""
    return f"\0tulle-forwarder/{device}"


def trusted(peer: socket.socket) -> bool:
    """Tell whether the other end is root or our own user (SO_PEERCRED)."""
    _, user, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return user in (0, os.geteuid())


def ask(device: str, order: bytes = b"") -> State | None:
    """Give an order (a state to take over, STOP, nothing) and return the state after it; None when no forwarder runs.

    Raises KernelError when whoever listens is a stranger or gives no answer.
    """
    what = f"talking to the forwarder of {device}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(PATIENCE)
            line.connect(name(device))
            answer = _exchange(line, order) if trusted(line) else None
    except ConnectionRefusedError:
        return None
    except (OSError, ValueError) as problem:
        number = problem.errno if isinstance(problem, OSError) and problem.errno else errno.EIO
        raise KernelError(number, what, f"{problem}; end that process by hand") from problem
    if answer is None:
        raise KernelError(errno.EADDRINUSE, what, "its socket is held by another user's process")
    return answer


def _exchange(line: socket.socket, order: bytes) -> State:
    line.sendall(order)
    line.shutdown(socket.SHUT_WR)
    return decode(received(line))


def received(line: socket.socket) -> bytes:
    """Read all until the other side has said everything."""
    parts = []
    while part := line.recv(65_536):
        parts.append(part)
    return b"".join(parts)
