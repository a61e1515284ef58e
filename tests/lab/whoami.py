"""A web server that answers every visitor with the address the visit came from: python whoami.py PORT.

It imports little but socket, so that a dozen of them start at once. It runs in pretend containers, never on the machine's own network.
"""

import contextlib
import socket
import sys


def answer(visit: socket.socket, address: str) -> None:
    """Read one request head and say who asked; IPv4 in its own notation."""
    with visit:
        visit.settimeout(5)
        visit.recv(4096)
        body = address.removeprefix("::ffff:")
        visit.sendall(
            f"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )


def main(port: int) -> None:
    """Listen on every address of the families there are until killed; `ready` on stdout says that visits may begin."""
    dual = socket.has_dualstack_ipv6()
    with socket.create_server(
        ("", port), family=socket.AF_INET6 if dual else socket.AF_INET, dualstack_ipv6=dual
    ) as server:
        print("ready", flush=True)
        while True:
            visit, source = server.accept()
            with contextlib.suppress(OSError):  # a visitor that goes away is not the server's trouble
                answer(visit, source[0])


if __name__ == "__main__":
    main(int(sys.argv[1]))
