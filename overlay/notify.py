"""Tells the service manager how the daemon does (sd_notify(3)): ready, status, stopping, and the watchdog's heartbeat.

Outside systemd there is no NOTIFY_SOCKET and every call does nothing. Must not judge whether the daemon is well.
"""

import socket
from collections.abc import Mapping


class Notifier:
    """A sender to the socket the service manager named in the environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self.heartbeat = _heartbeat(environ)

    def ready(self) -> None:
        """Say that start-up is complete."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Give the one line that `systemctl status` shows."""
        self._send("STATUS=" + " ".join(text.split()))

    def stopping(self) -> None:
        """Say that an orderly end has begun."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Answer the watchdog."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
            try:
                channel.sendto(message.encode(errors="replace"), self._address)
            except OSError:
                return  # a manager that does not listen is no reason to stop serving


def _heartbeat(environ: Mapping[str, str]) -> float | None:
    """Give the seconds between two heartbeats, half of what the manager allows; None without a watchdog."""
    allowed = environ.get("WATCHDOG_USEC", "")
    return int(allowed) / 2e6 if allowed.isascii() and allowed.isdigit() and int(allowed) else None
