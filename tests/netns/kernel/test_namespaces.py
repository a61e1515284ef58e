"""Claims about kernel.namespaces that need namespaces to move between.

- inside the block we are there, after it at home, also after an exception, also nested
- files and programs opened inside belong to that namespace
- a closed namespace is a KernelError and no move
- a process that cannot come home ends
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kernel import namespaces, tools
from kernel.errors import KernelError
from kernel.requests import AddBridge
from tests.netns.spaces import Space


def _here() -> tuple[int, int]:
    with namespaces.current() as here:
        return here.identity


def test_inside_is_there_and_after_is_home(host: Space) -> None:
    home = _here()
    with namespaces.inside(host.namespace):
        assert _here() == host.namespace.identity != home
    assert _here() == home


def test_an_exception_inside_comes_home_too(host: Space) -> None:
    home = _here()
    with pytest.raises(ZeroDivisionError), namespaces.inside(host.namespace):
        raise ZeroDivisionError
    assert _here() == home


def test_blocks_nest(host: Space, container: Space) -> None:
    with namespaces.inside(host.namespace):
        with namespaces.inside(container.namespace):
            assert _here() == container.namespace.identity
        assert _here() == host.namespace.identity


def test_a_program_started_inside_sees_that_network(host: Space) -> None:
    host.network.apply(AddBridge("br0"))
    assert "br0" in tools.run(["ip", "-br", "link"], namespace=host.namespace).stdout
    assert "br0" not in tools.run(["ip", "-br", "link"]).stdout


def test_a_namespace_can_be_opened_by_path_from_another_process(host: Space) -> None:
    program = "import sys; from kernel import namespaces; print(namespaces.open_path(sys.argv[1]).identity)"
    done = subprocess.run([sys.executable, "-c", program, host.path], capture_output=True, text=True, check=True)
    assert done.stdout == f"{host.namespace.identity}\n"


def test_a_closed_namespace_cannot_be_entered(make_space: Callable[[str], Space]) -> None:
    home, space = _here(), make_space("closed")
    space.namespace.close()
    with pytest.raises(KernelError, match="entering network namespace"), namespaces.inside(space.namespace):
        pytest.fail("entered")
    assert _here() == home


def test_a_process_that_cannot_come_home_ends(host: Space) -> None:
    program = """
import os, sys
from kernel import namespaces
with namespaces.open_path(sys.argv[1]) as space, namespaces.inside(space):
    os.closerange(3, 100)
print("went on")
"""
    done = subprocess.run([sys.executable, "-c", program, host.path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (70, "")
    assert "cannot return" in done.stderr


def test_no_descriptor_is_left_open(host: Space) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with namespaces.inside(host.namespace):
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before
