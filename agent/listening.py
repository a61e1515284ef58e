"""The socket that all workers accept from: from systemd (sd_listen_fds(3)), from an earlier agent, or a new one.

Its mode is 0600: a user that cannot connect need not be checked.
"""

import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent import protocol
from system import folders

FIRST = 3
"""SD_LISTEN_FDS_START: where inherited sockets begin."""

OWN = "tulle-agent-own"
"""The name (LISTEN_FDNAMES) of a socket that a former self of this process made, and that is ours to remove."""

BACKLOG = 4096


class UnusableError(Exception):
    """There is no socket to listen on; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Listener:
    """The listening socket, and whether its path is ours to remove."""

    socket: socket.socket
    """The listening socket."""
    path: Path
    """Its path."""
    own: bool
    """Whether the agent made it, and removes it at the end."""

    def close(self) -> None:
        """Stop listening for good."""
        self.socket.close()
        if self.own:
            self.path.unlink(missing_ok=True)

    def handed_on(self) -> dict[str, str]:
        """Move the socket to where a successor in this process expects it, and return the variables that tell it so."""
        os.dup2(self.socket.fileno(), FIRST)
        os.set_inheritable(FIRST, True)
        return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": OWN if self.own else "tulle-agent"}


def listen(path: Path, environ: Mapping[str, str]) -> Listener:
    """Return the socket this process was handed, or a new one at `path`; UnusableError when neither can be."""
    if environ.get("LISTEN_PID") == str(os.getpid()) and environ.get("LISTEN_FDS", "0") != "0":
        return _inherited(path, own=environ.get("LISTEN_FDNAMES") == OWN)
    return Listener(bind(path, over_orphans=True), path, own=True)


def bind(path: Path, *, over_orphans: bool = False) -> socket.socket:
    """Return a new socket listening at `path`, in place of one that nobody listens to any more.

    `over_orphans`: also in place of one whose supervisor has died. Its workers finish what is in hand and end, which
    may take a while; who knows that there is no supervisor need not wait for them.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        folders.make(str(path.parent))
        _guard(path.parent)
        _remove_stale(path, over_orphans=over_orphans)
        before = os.umask(0o177)
        try:
            sock.bind(str(path))
        finally:
            os.umask(before)
        sock.listen(BACKLOG)
    except OSError as refused:
        sock.close()
        raise UnusableError(
            f"cannot listen on {path}: {refused.strerror or refused}: choose another --socket"
        ) from refused
    except UnusableError:
        sock.close()
        raise
    return sock


def _guard(folder: Path) -> None:
    """Let nobody else put a socket in the place of ours: our own folder loses what an earlier umask gave to others.

    Another is refused.
    """
    about = folder.stat()
    if about.st_uid not in (0, os.geteuid()):
        raise UnusableError(
            f"{folder} belongs to user {about.st_uid}, who could take the socket: choose another --socket"
        )
    if not about.st_mode & 0o022:
        return
    if folder != Path(protocol.PATH).parent:
        raise UnusableError(
            f"{folder} is writable for others, who could take the socket: chmod go-w, or choose another --socket"
        )
    folder.chmod(about.st_mode & 0o755)


def _inherited(path: Path, *, own: bool) -> Listener:
    try:
        sock = socket.socket(fileno=FIRST)
    except OSError as absent:
        raise UnusableError(f"LISTEN_FDS promises a socket as descriptor {FIRST}: {absent.strerror}") from absent
    sock.set_inheritable(False)
    if (sock.family, sock.type) != (socket.AF_UNIX, socket.SOCK_SEQPACKET):
        sock.close()
        raise UnusableError(
            "the socket handed over is no SEQPACKET Unix socket: ListenSequentialPacket= in the socket unit"
        )
    name = sock.getsockname()
    return Listener(sock, Path(name) if isinstance(name, str) and name else path, own)


def _remove_stale(path: Path, *, over_orphans: bool) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise UnusableError(f"{path} is there and no socket: remove it, or choose another --socket")
    except FileNotFoundError:
        return
    if over_orphans:
        path.unlink(missing_ok=True)
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError:
            pass
    raise UnusableError(f"another agent listens on {path}: stop it, or choose another --socket")
