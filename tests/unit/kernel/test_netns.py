"""Claims about kernel.netns that need no root.

- what is absent or no network namespace is NamespaceGone, with the path and the reason
- what may not be opened is another KernelError
- the namespace we are in is entered without moving
- a descriptor is closed once, and never inherited
"""

import os
from pathlib import Path

import pytest

from kernel import netns
from kernel.errors import KernelError, NamespaceGone


@pytest.mark.parametrize("path", ["/nowhere/ns", "/dev/null/ns", "", "a\0b", "/" + "x" * 5000])
def test_an_absent_path_is_gone(path: str) -> None:
    with pytest.raises(NamespaceGone):
        netns.open_path(path)


@pytest.mark.parametrize("path", ["/dev/null", "/etc", "/proc/self/ns/mnt", "/proc/self/ns/user"])
def test_something_else_is_gone_with_the_reason(path: str) -> None:
    with pytest.raises(NamespaceGone, match=f'"{path}": this is no network namespace'):
        netns.open_path(path)


def test_a_plain_file_left_after_a_reboot_is_gone(tmp_path: Path) -> None:
    (tmp_path / "cni-1").touch()
    with pytest.raises(NamespaceGone):
        netns.open_path(str(tmp_path / "cni-1"))


def test_a_pipe_does_not_hang_the_opening(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NamespaceGone):
        netns.open_path(str(tmp_path / "pipe"))


def test_a_refused_path_leaves_no_descriptor() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(NamespaceGone):
        netns.open_path("/dev/null")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_same_namespace_has_the_same_identity() -> None:
    with netns.current() as one, netns.open_path("/proc/self/ns/net") as two:
        assert one.identity == two.identity


def test_a_namespace_is_not_inherited() -> None:
    with netns.current() as here:
        assert not os.get_inheritable(here.fd)


def test_closing_twice_is_fine() -> None:
    here = netns.current()
    here.close()
    here.close()
    assert here.fd == -1


def test_entering_where_we_are_is_no_move() -> None:
    with netns.current() as here, netns.inside(here), netns.current() as there:
        assert there.identity == here.identity


def test_entering_nothing_is_no_move() -> None:
    with netns.current() as here, netns.inside(None), netns.current() as there:
        assert there.identity == here.identity


def test_gone_is_caught_as_kernel_error() -> None:
    with pytest.raises(KernelError):
        netns.open_path("/nowhere/ns")
