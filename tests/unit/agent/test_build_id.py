"""Claims about the build that runs:

- its number is the hash that the build wrote; without one the remedy is named
- another file in the place of one of ours is a replacement, a missing one is not yet
"""

from pathlib import Path

import pytest

from agent.build_id import Build, NoBuildError


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_number_is_the_hash(tmp_path: Path) -> None:
    build = Build.read(written(tmp_path / "build-id", f"{'a1' * 32}\n"))
    assert (build.number, build.folder) == (b"\xa1" * 32, tmp_path)


@pytest.mark.parametrize("text", ["", "xyz\n", "a1\n"])
def test_without_a_hash_the_remedy_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(NoBuildError, match=r"build-id: .*`make build` writes it"):
        Build.read(written(tmp_path / "build-id", text))
    with pytest.raises(NoBuildError, match="No such file"):
        Build.read(tmp_path / "absent")


def test_another_file_is_a_replacement_and_a_missing_one_not_yet(tmp_path: Path) -> None:
    path = written(tmp_path / "build-id", f"{'a1' * 32}\n")
    build = Build.read(path)
    assert not build.is_replaced()

    aside = path.rename(tmp_path / "aside")
    assert not build.is_replaced()
    written(path, aside.read_text())
    assert build.is_replaced()
