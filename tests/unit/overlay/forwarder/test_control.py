"""Claims: a state survives the wire; what is no state is refused; a process keeps its device, socket and owner; where nobody
listens the answer is None; who answers nonsense, too much or too slowly is reported; the directory is closed to others whatever the
umask and whatever it was before; one that is not ours is refused; who listens on the old abstract name without trust is not heard.
"""

import contextlib
import json
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
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
    IPv4Network("10.42.1.0/24"),
    frozenset({(IPv4Network("10.42.2.0/24"), IPv4Address("192.0.2.2"))}),
    (IPv4Network("198.51.100.0/24"),),
)
DEVICE = "tulle-test"


def test_a_state_survives_the_wire() -> None:
    assert control.decode(control.encode(STATE)) == STATE


DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"routes": [1]}', b"\xff", DEEP, b'{"device": 5}', control.encode(STATE)[:-1]]
)
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        control.decode(data)


def test_a_member_of_another_type_is_refused() -> None:
    for member, wrong in (("device", 5), ("port", float("inf")), ("owner", None), ("allowed", 7), ("subnet", [])):
        with pytest.raises(ValueError):
            control.decode(json.dumps({**json.loads(control.encode(STATE)), member: wrong}).encode())


def test_routes_and_source_may_change_in_one_process_nothing_else() -> None:
    assert STATE.same_process(replace(STATE, routes=frozenset(), source=IPv4Address("10.42.9.0"), allowed=()))
    assert not STATE.same_process(replace(STATE, port=1))
    assert not STATE.same_process(replace(STATE, owner="/elsewhere"))


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # a socket's path has 107 bytes at most
        monkeypatch.setattr(control, "FOLDER", Path(short, "tulle", "forwarder"))
        yield control.FOLDER


def test_nobody_listening_is_no_forwarder() -> None:
    assert control.ask(DEVICE) is None
    control.listen(control.path(DEVICE)).close()
    assert control.ask(DEVICE) is None


@contextlib.contextmanager
def answering(server: socket.socket, answer: bytes) -> Iterator[None]:
    def serve() -> None:
        line, _ = server.accept()
        with line, contextlib.suppress(OSError):
            line.sendall(answer)
            line.recv(1)

    with server:
        thread = Thread(target=serve)
        thread.start()
        yield
        thread.join()


@pytest.mark.skipif(os.geteuid() != 0, reason="a forwarder is trusted when it may change the network")
@pytest.mark.parametrize("answer", [b"what?", DEEP, b"{}"])
def test_nonsense_is_reported(answer: bytes) -> None:
    with (
        answering(control.listen(control.path(DEVICE)), answer),
        pytest.raises(
            KernelError, match=f"talking to the forwarder of {DEVICE}: .*no forwarder's state|not JSON|Expecting"
        ),
    ):
        control.ask(DEVICE)


def test_an_end_is_put_to_who_says_too_much_or_too_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "LONGEST", 3)
    near, far = socket.socketpair()
    with near, far:
        far.sendall(b"1234")
        with pytest.raises(OSError, match="more than 3 bytes"):
            control.received(near)
        monkeypatch.setattr(control, "PATIENCE", 0.0)
        far.sendall(b"1")
        with pytest.raises(TimeoutError):
            control.received(near)


def test_the_directory_is_closed_to_others_whatever_the_umask(folder: Path) -> None:
    before = os.umask(0)
    try:
        with control.listen(control.path(DEVICE)):
            modes = [stat.S_IMODE(one.stat().st_mode) for one in (folder.parent, folder, control.path(DEVICE))]
    finally:
        os.umask(before)
    assert modes == [0o755, 0o700, 0o600]


def test_a_directory_that_was_open_to_others_is_closed(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    folder.parent.chmod(0o777)
    control.listen(control.path(DEVICE)).close()
    assert [stat.S_IMODE(one.stat().st_mode) for one in (folder.parent, folder)] == [0o755, 0o700]


def test_a_directory_that_is_not_ours_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    folder.parent.mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KernelError, match="not a directory of ours; remove it"):
        control.listen(control.path(DEVICE))


def test_who_holds_the_old_name_without_trust_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "trusted", lambda _: False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(f"\0tulle-forwarder/{DEVICE}")
        server.listen(1)
        assert control.earlier(DEVICE) is None
        line, _ = server.accept()
        with line:
            assert line.recv(16) == b""
