"""What the launcher's tests share: a tree of their own in both flavours, and an agent that plays a part."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.lab import agents, launchers
from tests.lab.launchers import Launcher

Play = Callable[[agents.Part], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {flavour: tmp_path_factory.mktemp(flavour) for flavour in launchers.FLAVOURS}
    for flavour, tree in made.items():
        launchers.make_tree(tree, flavour)
    return made


@pytest.fixture
def plain(trees: dict[str, Path], tmp_path: Path) -> Launcher:
    """Only as it is built: for what a sanitizer's own needs would disturb."""
    return launchers.copy_tree(trees["plain"], tmp_path)


@pytest.fixture(params=launchers.FLAVOURS)
def launcher(request: pytest.FixtureRequest, trees: dict[str, Path], tmp_path: Path) -> Launcher:
    return launchers.copy_tree(trees[request.param], tmp_path)


@pytest.fixture
def play(tmp_path: Path) -> Play:
    return lambda part: agents.playing(part, tmp_path / "agent.sock")
