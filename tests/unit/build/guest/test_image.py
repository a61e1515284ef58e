"""Claims about the guest's disks:

- the extent covers every file, in whole blocks, with room to spare
- an image holds the tree, owners and links as they are, and no journal
- it appears under its name only when it is whole
"""

import subprocess
from pathlib import Path

import pytest

from build.guest import image


def debugfs(disk: Path, request: str) -> str:
    return subprocess.run(["/sbin/debugfs", "-R", request, disk], check=True, capture_output=True, text=True).stdout


def test_the_extent_counts_whole_blocks_and_spare_room() -> None:
    few, more = image.measure([1, 4096, 0]), image.measure([1, 4096, 0, 4097])

    assert more.blocks - few.blocks == 2
    assert more.inodes - few.inodes == 1
    assert few.blocks * image.BLOCK > image.SPARE_BYTES


def test_an_image_holds_the_tree(tmp_path: Path) -> None:
    tree, disk = tmp_path / "tree", tmp_path / "disk"
    (tree / "folder").mkdir(parents=True)
    (tree / "folder/file").write_text("text")
    (tree / "link").symlink_to("folder/file")

    image.make(tree, disk)

    assert debugfs(disk, "cat /folder/file") == "text"
    assert 'Fast link dest: "folder/file"' in debugfs(disk, "stat /link")
    assert "has_journal" not in debugfs(disk, "features")


def test_a_refused_image_does_not_appear(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        image.make(tmp_path / "absent", tmp_path / "disk")
    assert not (tmp_path / "disk").exists()
