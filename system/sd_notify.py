"""Tells the service manager about the daemon (sd_notify(3)): ready, status, stopping, and the watchdog.

Outside systemd there is no NOTIFY_SOCKET, and every call does nothing.
"""

import socket
from collections.abc import Mapping


class Notifier:
    """A sender to the socket the service manager named in the environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._owed = ""
        self.heartbeat = _heartbeat(environ)

    def ready(self) -> None:
        """Say that start-up is complete; what the manager's full queue does not take is said again with the next word."""
        self._owed = "READY=1"
        self._pay()

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._pay()
        self._send("STATUS=" + " ".join(text.split()))

    def stopping(self) -> None:
        """Say that an orderly end has begun."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Answer the watchdog."""
        self._pay()
        self._send("WATCHDOG=1")

    def _pay(self) -> None:
        if self._owed and self._send(self._owed):
            self._owed = ""

    def _send(self, message: str) -> bool:
        """Return whether the manager has it, or there is none."""
        if not self._address:
            return True
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
                channel.sendto(message.encode(errors="replace"), self._address)
        except OSError:  # a manager that does not listen is no reason to stop serving
            return False
        return True


def _heartbeat(environ: Mapping[str, str]) -> float | None:
    """Return the seconds between two heartbeats, half of what the manager allows; None without a watchdog."""
    allowed = environ.get("WATCHDOG_USEC", "")
    return int(allowed) / 2e6 if allowed.isascii() and allowed.isdigit() and int(allowed) else None
