"""Claims about when the programs are frozen anew, and what their id says:

- a changed, renamed, added or newly executable file is another tree, and so is a link that leads elsewhere
- the id leaves out the file that holds it and the launcher, which has it compiled in
- the recipe sees every source, the data and the pinned packages, and not what Python compiles
- a frozen program's version is the project's

Not covered: freezing itself; tests/e2e/test_frozen.py looks at what comes out.
"""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from build import freeze
from build.programs import ROOT


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "module.pyc").write_text("code")
    (tmp_path / "link").symlink_to("folder")
    return tmp_path


def rename(tree: Path) -> None:
    (tree / "folder").rename(tree / "renamed")


def turn(tree: Path) -> None:
    (tree / "link").unlink()
    (tree / "link").symlink_to("elsewhere")


CHANGES: dict[str, Callable[[Path], object]] = {
    "changed": lambda tree: (tree / "folder/module.pyc").write_text("edoc"),
    "renamed": rename,
    "added": lambda tree: (tree / "more").touch(),
    "executable": lambda tree: (tree / "folder/module.pyc").chmod(0o755),
    "link": turn,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_another_tree_has_another_id(change: Callable[[Path], object], tree: Path) -> None:
    before = freeze.build_id(tree)

    change(tree)

    assert freeze.build_id(tree) != before


def test_the_id_leaves_out_itself_and_the_launcher(tree: Path) -> None:
    before = freeze.build_id(tree)

    for name in (freeze.BUILD_ID, "launcher"):
        (tree / name).write_text(before)

    assert freeze.build_id(tree) == before
    assert len(before) == 64


def test_the_recipe_sees_everything_the_tree_is_made_of() -> None:
    found = {str(path.relative_to(ROOT)) for path in freeze.inputs()}

    assert {
        "bridge/plan.py",
        "conf/schema/bridge.json",
        "build/tulle.spec",
        "build/entry.py",
        "requirements/run.txt",
    } <= found
    assert not [path for path in found if path.endswith(".pyc")]


def test_a_tree_that_is_not_there_is_not_current(tmp_path: Path) -> None:
    assert not freeze.is_current(tmp_path / "lib")


def test_the_version_is_the_projects() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert f"\nVersion: {version}\n" in (freeze.metadata() / "METADATA").read_text()
