"""Claims about kernel.netns that need namespaces to move between.

- inside the block we are there, after it at home, also after an exception, also nested
- files and programs opened inside belong to that namespace
- a closed namespace is a KernelError and no move
- a refusal of a moment does not keep a thread from coming home
- a thread that cannot come home is told so at every block, None's too, until it can, and is then at home
"""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kernel import netns, spawn
from kernel.errors import KernelError
from kernel.netlink.requests import AddBridge
from tests.netns.spaces import Space


def _here() -> tuple[int, int]:
    with netns.current() as here:
        return here.identity


def test_inside_is_there_and_after_is_home(host: Space) -> None:
    home = _here()
    with netns.inside(host.namespace):
        assert _here() == host.namespace.identity != home
    assert _here() == home


def test_an_exception_inside_comes_home_too(host: Space) -> None:
    home = _here()
    with pytest.raises(ZeroDivisionError), netns.inside(host.namespace):
        raise ZeroDivisionError
    assert _here() == home


def test_blocks_nest(host: Space, container: Space) -> None:
    with netns.inside(host.namespace):
        with netns.inside(container.namespace):
            assert _here() == container.namespace.identity
        assert _here() == host.namespace.identity


def test_a_program_started_inside_sees_that_network(host: Space) -> None:
    host.network.apply(AddBridge("br0"))
    assert "br0" in spawn.run(["ip", "-br", "link"], namespace=host.namespace).stdout
    assert "br0" not in spawn.run(["ip", "-br", "link"]).stdout


def test_a_namespace_can_be_opened_by_path_from_another_process(host: Space) -> None:
    program = "import sys; from kernel import netns; print(netns.open_path(sys.argv[1]).identity)"
    done = subprocess.run([sys.executable, "-c", program, host.path], capture_output=True, text=True, check=True)
    assert done.stdout == f"{host.namespace.identity}\n"


def test_a_closed_namespace_cannot_be_entered(make_space: Callable[[str], Space]) -> None:
    home, space = _here(), make_space("closed")
    space.namespace.close()
    with pytest.raises(KernelError, match="entering network namespace"), netns.inside(space.namespace):
        pytest.fail("entered")
    assert _here() == home


def refused(monkeypatch: pytest.MonkeyPatch, home: tuple[int, int], times: int) -> None:
    """Have the kernel refuse the way to `home` so many times."""
    real, left = netns._setns, [times]

    def setns(fd: int, kind: int) -> None:
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) == home and left[0] > 0:
            left[0] -= 1
            raise PermissionError(errno.EPERM, "Operation not permitted")
        real(fd, kind)

    monkeypatch.setattr(netns, "_setns", setns)


def test_a_refusal_of_a_moment_does_not_keep_it_from_home(host: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    home = _here()
    refused(monkeypatch, home, netns.ATTEMPTS - 1)
    with netns.inside(host.namespace):
        pass
    assert _here() == home


def test_who_cannot_come_home_is_told_at_every_block_until_it_can(host: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    home = _here()
    refused(monkeypatch, home, 3 * netns.ATTEMPTS)
    with pytest.raises(KernelError, match="returning to the network namespace"), netns.inside(host.namespace):
        pass
    for other in (None, host.namespace):
        with pytest.raises(KernelError, match="returning to the network namespace"), netns.inside(other):
            pytest.fail("went on in a stranger's network")
    with netns.inside(None):
        assert _here() == home


def test_no_descriptor_is_left_open(host: Space) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with netns.inside(host.namespace):
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before
