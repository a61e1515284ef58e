"""Claims: there is one version, pyproject's; it is that of the changelog's top release, and newer than what tools ask of the reference.

That a frozen program knows it is tested on the built ones (tests/e2e/test_frozen.py).
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from cni import release

ROOT = Path(__file__).parents[3]
SEMVER = re.compile(r"\d+\.\d+\.\d+")


def declared() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def test_the_version_of_a_checkout_is_that_of_its_pyproject() -> None:
    assert release.version() == declared()


def test_the_version_of_an_installed_tree_is_that_of_its_metadata(tmp_path: Path) -> None:
    metadata = tmp_path / "tulle-7.8.9.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: tulle\nVersion: 7.8.9\n")

    said = subprocess.run(
        [sys.executable, "-c", "from cni import release; print(release.version())"],
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert said == "7.8.9\n"


def headings() -> list[str]:
    return [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]


def test_a_heading_of_the_changelog_stands_once_whatever_was_merged() -> None:
    versions = [SEMVER.search(heading) for heading in headings()]

    assert len(set(headings())) == len(headings())
    assert [version is None for version in versions] == sorted((version is None for version in versions), reverse=True)


def test_the_changelogs_top_release_is_the_version() -> None:
    releases = [match[0] for heading in headings() if (match := SEMVER.search(heading))]

    assert releases[0] == declared()


def test_nerdctl_finds_the_version_new_enough() -> None:
    assert SEMVER.fullmatch(declared())
    assert tuple(map(int, declared().split("."))) >= (1, 7, 1)
