"""Opens the namespaces of pretend hosts and containers in this process, so that an attack costs a packet and not a program."""

import socket
from contextlib import suppress

from kernel import netns
from tests.lab.world import Place
from tests.netns.spaces import Space

PATIENCE = 1.0
"""Seconds until a connection that nobody answers counts as refused."""


def seat(place: Place) -> Space:
    """Return the network of a place; the caller closes it."""
    (target,) = (word.partition("=")[2] for word in place.prefix if word.startswith("--target="))
    bound = [word.partition("=")[2] for word in place.prefix if word.startswith("--net=")]
    path = f"/proc/{target}/root{bound[-1]}" if bound else f"/proc/{target}/ns/net"
    return Space(place.name, netns.open_path(path))


def door(space: Space, family: int, kind: int) -> socket.socket:
    """Return a socket of a space; what it is good for depends on the kernel there alone."""
    with netns.inside(space.namespace):
        return socket.socket(family, kind)


def connects(sender: Space, address: str, port: int, server: Space, listening: int) -> bool:
    """Tell whether a connection to a port of an address comes in at a port that a server listens on."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with door(server, family, socket.SOCK_STREAM) as ear, door(sender, family, socket.SOCK_STREAM) as caller:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.bind(("", listening))
        ear.listen()
        for each in (ear, caller):
            each.settimeout(PATIENCE)
        with suppress(OSError):
            caller.connect((address, port))
            accepted, _ = ear.accept()
            accepted.close()
            return True
    return False
