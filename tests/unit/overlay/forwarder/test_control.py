"""Claims: a state survives the wire; what is no state is refused; a process keeps its device, socket and owner; where nobody
listens the answer is None; who answers nonsense is reported.
"""

import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from threading import Thread

import pytest

from kernel.errors import KernelError
from overlay.forwarder import control
from overlay.forwarder.control import State

STATE = State(
    "flannel0",
    IPv4Address("192.0.2.1"),
    8285,
    "/run/flannel/subnet.env",
    IPv4Address("10.42.1.0"),
    frozenset({(IPv4Network("10.42.2.0/24"), IPv4Address("192.0.2.2"))}),
)
DEVICE = "tulle-test"


def test_a_state_survives_the_wire() -> None:
    assert control.decode(control.encode(STATE)) == STATE


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"routes": [1]}', b"\xff"])
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        control.decode(data)


def test_routes_and_source_may_change_in_one_process_nothing_else() -> None:
    assert STATE.same_process(replace(STATE, routes=frozenset(), source=IPv4Address("10.42.9.0")))
    assert not STATE.same_process(replace(STATE, port=1))
    assert not STATE.same_process(replace(STATE, owner="/elsewhere"))


def test_nobody_listening_is_no_forwarder() -> None:
    assert control.ask(DEVICE) is None


@pytest.fixture
def babbler() -> Iterator[None]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(control.name(DEVICE))
        server.listen(1)

        def answer() -> None:
            line, _ = server.accept()
            with line:
                control.received(line)
                line.sendall(b"what?")

        thread = Thread(target=answer)
        thread.start()
        yield
        thread.join()


def test_nonsense_is_reported(babbler: None) -> None:
    with pytest.raises(KernelError, match=f"talking to the forwarder of {DEVICE}"):
        control.ask(DEVICE)
