"""Decides whether to serve a caller, from what the kernel says and before anything is received from it.

What a caller sends may be a trap: a descriptor of a file system that never answers blocks a process that looks at it,
reads it or closes it.
"""

import socket
from dataclasses import dataclass

from agent import admission, peercred
from agent.admission import Root, Spaces
from agent.peercred import Caller
from agent.protocol import DeclinedError, Reason


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process stands: what its paths, ids and names mean."""

    spaces: Spaces
    """The namespaces."""
    root: Root
    """The root directory."""


def own() -> Place:
    """Return where this process stands."""
    return Place(peercred.spaces(), peercred.root())


def judged(connection: socket.socket, here: Place) -> Caller:
    """Return the process at the other end, which may ask who stands `here` once it has passed Caller.check().

    Whoever calls closes it.

    Raises DeclinedError with the reason why it may not.
    """
    caller = Caller(connection)
    try:
        reason = admission.refusal(here.spaces, caller.spaces(), caller.capabilities())
        reason = reason or admission.misrooted(here.root, caller.root())
    except OSError:
        reason = Reason.GONE
    if reason:
        caller.close()
        raise DeclinedError(reason)
    return caller
