"""Gives each test namespaces of its own, and holds all of them to leaving the host's network as it was."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from bridge import spoofchk
from kernel import netns
from kernel.netlink.handle import Handle
from tests.netns.spaces import Space


@pytest.fixture(scope="session", autouse=True)
def root_only() -> None:
    """Skip without root, saying so; in CI that is a failure: no silent green."""
    if os.geteuid() != 0:
        reason = "needs root (CAP_SYS_ADMIN) to make network namespaces"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture(autouse=True)
def run_untouched(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what is remembered of ports under /run lie in a folder of the test's own."""
    monkeypatch.setattr(spoofchk, "MEMORY", str(tmp_path_factory.mktemp("run") / "spoofchk"))


@pytest.fixture(autouse=True)
def host_untouched(root_only: None) -> Iterator[None]:
    """Fail a test that moves this process, or leaves a link or an address in the namespace it started in."""
    home, before = _home()
    yield
    where, after = _home()
    assert where == home
    assert after - before == set()


def _home() -> tuple[tuple[int, int], frozenset[object]]:
    """Return the namespace we are in, and what is in it."""
    with netns.current() as here, Handle() as network:
        links = {(link.index, link.name, link.kind) for link in network.links()}
        return here.identity, frozenset(links | {(each.link, each.address) for each in network.addresses()})


@pytest.fixture
def make_space(host_untouched: None) -> Iterator[Callable[[str], Space]]:
    """Make private network namespaces, taken down after the test whatever happened in it."""
    with ExitStack() as stack:

        def make(name: str) -> Space:
            space = Space(name)
            stack.callback(space.close)
            return space

        yield make


@pytest.fixture
def host(make_space: Callable[[str], Space]) -> Space:
    """A private namespace standing for the host."""
    return make_space("host")


@pytest.fixture
def container(make_space: Callable[[str], Space]) -> Space:
    """A private namespace standing for a container."""
    return make_space("container")
