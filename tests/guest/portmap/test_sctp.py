"""Claims about SCTP through the program `portmap`, on a kernel that speaks it (docs/reference/cni.md 4.1).

* A published SCTP port is reached from outside, through either backend, and closed by DEL.
"""

import errno
import socket
import threading

import pytest

from kernel import netns
from tests.netns.portmap.conftest import OUTSIDE, PATIENCE, REFUSAL, UPLINK, Runtime, each, outside, runtime, tcp
from tests.netns.spaces import Space

__all__ = ["each", "outside", "runtime"]

MAPPING = {**tcp(7777, 9999), "protocol": "sctp"}


def door(space: Space) -> socket.socket:
    """Open an SCTP socket in a namespace, of the kind that is used like TCP's."""
    with netns.inside(space.namespace):
        opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
    opened.settimeout(PATIENCE)
    return opened


def test_an_sctp_port_is_reached_from_outside_and_closed_by_del(each: Runtime, outside: Space) -> None:
    container = each.container()
    each.add(container, MAPPING)
    with door(container.space) as server:
        server.bind(("0.0.0.0", 9999))
        server.listen()
        told: list[str] = []

        def answer() -> None:
            visit, peer = server.accept()
            told.append(peer[0])
            with visit:
                visit.sendall(b"c1")

        thread = threading.Thread(target=answer)
        thread.start()
        with door(outside) as client:
            client.connect((UPLINK, 7777))
            assert client.recv(10) == b"c1"
        thread.join(PATIENCE)
        assert told == [OUTSIDE]
        assert each.call("DEL", container, MAPPING) == {}
        with door(outside) as client:
            client.settimeout(REFUSAL)
            with pytest.raises(OSError, match=r"timed out|refused") as closed:
                client.connect((UPLINK, 7777))
            assert closed.value.errno in (None, errno.ECONNREFUSED)
