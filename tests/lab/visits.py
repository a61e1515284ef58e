"""What containers of the image run in tests of runtimes, and how their pages are asked for, from containers and hosts alike.

The words are busybox's; `Place.run("busybox", *words)` runs them on a host.
"""

from tests.lab.hosts import Host

SERVE = ("httpd", "-f", "-vv", "-p", "80", "-h", "/www")
"""Serve the page, and log each visitor's address."""
WAIT = ("sleep", "100000")
LOOK = ("ip", "-4", "-o", "address", "show", "eth0")


def fetch(address: str) -> tuple[str, ...]:
    """Return the command that prints the page an address serves."""
    return ("wget", "-q", "-O", "-", f"http://{address}/")


def own_address(said: str) -> str:
    """Return the address in what LOOK printed."""
    return said.split("inet ")[1].partition("/")[0]


def published(host: Host, port: int) -> str:
    """Return a host's own address with a port, for another host to ask."""
    return f"{host.standing.address.ip}:{port}"
