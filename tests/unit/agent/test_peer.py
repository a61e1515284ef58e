"""Claims about what is read of a caller:

- it is what the kernel says of the process that connected, and for this process what it says of itself
- descriptors are told by what they are
- a caller that has ended is gone, and nothing stays open
"""

import os
import socket
from pathlib import Path

import pytest

from agent import peer
from agent.admission import Claims
from agent.protocol import COUNT, DeclinedError, Descriptors, Reason


def status(path: str) -> tuple[int, int]:
    found = Path(path).stat()
    return found.st_dev, found.st_ino


def test_this_process_is_told_as_it_is() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        told = peer.read(far)

    assert told.place == peer.own()
    assert told.place.mnt == status("/proc/self/ns/mnt")
    assert told.place.root == status("/")
    assert told.net == status("/proc/self/ns/net")
    assert (told.capabilities == 0) == (os.geteuid() != 0)


def test_descriptors_are_told_by_what_they_are() -> None:
    names = ("net", "mnt", "user", "pid")
    opened = [os.open(f"/proc/self/ns/{name}", os.O_RDONLY) for name in names] + [os.open("/", os.O_PATH)]
    try:
        told = peer.claims(Descriptors(0, 0, opened[0], opened[1], opened[2], opened[3], opened[4], opened[4]))
    finally:
        for each in opened:
            os.close(each)
    assert told == Claims(**{name: status(f"/proc/self/ns/{name}") for name in names}, root=status("/"))
    assert COUNT == 8


def test_a_caller_that_has_ended_is_gone(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(str(tmp_path / "door"))
        door.listen()
        child = os.fork()
        if child == 0:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
                caller.connect(str(tmp_path / "door"))
            os._exit(0)
        connection, _ = door.accept()
        os.waitpid(child, 0)
        before = len(list(Path("/proc/self/fd").iterdir()))
        with connection, pytest.raises(DeclinedError) as declined:
            peer.read(connection)
    assert declined.value.reason is Reason.GONE
    assert len(list(Path("/proc/self/fd").iterdir())) == before - 2
