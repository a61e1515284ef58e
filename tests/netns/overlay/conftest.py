"""Daemons for the tests of this directory, ended whatever happened."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kernel.netlink.requests import DeleteLink
from tests.netns.overlay.daemons import START, Tulled, pair, segment
from tests.netns.spaces import Space

CARRIED = ("flannel0", "flannel-wg", "flannel-wg-v6")
FLAGS = ("--network", "10.42.0.0/16", "--iface", "eth0")
Start = Callable[..., Tulled]


def _end_carriers(space: Space) -> None:
    """Delete the devices whose carriers are processes: those end with them, and would else keep their namespace for ever."""
    with contextlib.suppress(OSError):  # a space that is closed already
        space.network.attempt(DeleteLink(name) for name in CARRIED)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start daemons that share one sqlite store unless told otherwise."""
    with ExitStack() as stack:

        def begin(space: Space, *flags: str, within: tuple[str, ...] = (), program: str = START) -> Tulled:
            chosen = flags if "--store" in flags else ("--store", f"sqlite:{tmp_path / 'net.db'}", *FLAGS, *flags)
            daemon = Tulled(space, tmp_path, *chosen, within=within, program=program)
            stack.callback(_end_carriers, space)
            stack.callback(daemon.close)
            return daemon

        yield begin


@pytest.fixture
def three(make_space: Callable[[str], Space]) -> Iterator[tuple[Space, ...]]:
    """Three hosts on one wire."""
    spaces = tuple(make_space(name) for name in ("one", "two", "three"))
    segment(make_space("wire"), *spaces)
    yield spaces
    for space in spaces:  # a userspace carrier ends with its device
        space.network.attempt(DeleteLink(name) for name in CARRIED)


@pytest.fixture
def hosts(make_space: Callable[[str], Space]) -> tuple[Space, Space]:
    """Two hosts on one wire."""
    one, two = make_space("one"), make_space("two")
    pair(one, two)
    return one, two
