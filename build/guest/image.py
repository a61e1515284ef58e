"""Turns a directory into a file system image that the guest's kernel can mount: ext4, just large enough, no journal.

mke2fs fills the image, so neither root nor a loop device is needed. Owners are copied as they are: a tree of an
ordinary user belongs to that user in the guest, where everything runs as root.
"""

import os
import subprocess  # noqa: TID251 - the build runs Debian's tools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

BLOCK = 4096
INODE = 256
SPARE_BYTES = 48 << 20  # group descriptors, directory blocks, and what the guest writes outside /tmp
SPARE_INODES = 2048


@dataclass(frozen=True, slots=True)
class Extent:
    """What a file system must hold."""

    inodes: int
    blocks: int  # of 4096 bytes


def measure(sizes: Iterable[int]) -> Extent:
    """Return the extent of files of these sizes in bytes, spare room included."""
    every = list(sizes)
    inodes = len(every) + SPARE_INODES
    data = sum(-(-max(size, 1) // BLOCK) for size in every)
    return Extent(inodes, data + (inodes * INODE + SPARE_BYTES) // BLOCK)


def sizes(tree: Path) -> Iterable[int]:
    """Yield the size in bytes of everything below `tree`."""
    for folder, folders, files in os.walk(tree):
        for name in (*folders, *files):
            yield os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - thousands of files, a second saved


def make(tree: Path, image: Path) -> None:
    """Write `tree` into a new image, which gets its name when it is complete. Raises CalledProcessError from mke2fs."""
    extent = measure(sizes(tree))
    fresh = image.with_name(f".{image.name}.new")
    fresh.unlink(missing_ok=True)
    options = ("-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-b", str(BLOCK), "-N", str(extent.inodes))
    command = ["/sbin/mke2fs", *options, "-d", str(tree), str(fresh), str(extent.blocks)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    fresh.replace(image)
