"""Small file systems of a test's own, which can be made read-only and full; they go with the process that holds them."""

import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SHELL = "mount -t tmpfs -o size=64k,nr_inodes=16 tmpfs {0} && {1} echo mounted && exec cat"


class Disk:
    """A small tmpfs that only programs run in it see; with `network` they also have a network namespace of their own."""

    def __init__(self, folder: Path, *, network: bool = False) -> None:
        self.folder = folder
        self.flags = ["-m", *(["-n"] if network else [])]
        script = SHELL.format(folder, "ip link set lo up &&" if network else "")
        self.holder = subprocess.Popen(
            ["unshare", *self.flags, "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == b"mounted\n"

    def close(self) -> None:
        """Let go of it: the kernel takes file system and network down."""
        self.holder.communicate(timeout=30)

    def run(self, *words: str, check: bool = True, **keys: Any) -> subprocess.CompletedProcess[str]:
        """Run a program in it."""
        inside = ["nsenter", *self.flags, "-t", str(self.holder.pid), f"--wd={ROOT}", *words]
        return subprocess.run(inside, capture_output=True, text=True, timeout=60, check=check, **keys)

    def make_read_only(self) -> None:
        """Have it refuse every write with EROFS."""
        self.run("mount", "-o", "remount,ro", str(self.folder))

    def make_writable(self) -> None:
        """Take that back."""
        self.run("mount", "-o", "remount,rw", str(self.folder))

    def fill(self) -> None:
        """Leave neither a block nor an inode."""
        fill = 'dd if=/dev/zero of="$0/fill" bs=4k; i=0; while : 2>/dev/null > "$0/fill.$i"; do i=$((i+1)); done'
        self.run("sh", "-c", fill, str(self.folder), check=False)
