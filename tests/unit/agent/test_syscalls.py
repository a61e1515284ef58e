"""Claims about the two system calls:

- a directory is told as stat(2) tells it, with the number of its mount as the kernel lists it
- a process's capabilities are those that its status shows
- what cannot be told is an OSError of the kernel's
"""

import os
import subprocess
from pathlib import Path

import pytest

from agent import syscalls


def of_status(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines)[name]


@pytest.mark.parametrize("path", ["/", "/proc", "/proc/self/root", "/sys/fs/cgroup"])
def test_a_directory_is_told_with_its_mount(path: str) -> None:
    (device, inode), mount = syscalls.directory(path)
    found = Path(path).stat()
    assert (device, inode) == (found.st_dev, found.st_ino)
    mounted = {int(line.split()[0]): line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    assert mounted[mount] == os.path.realpath(path)


def test_capabilities_are_those_of_the_process() -> None:
    assert syscalls.capabilities(os.getpid()) == int(of_status(os.getpid(), "CapEff"), 16)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving up a capability needs one")
def test_fewer_capabilities_are_told_as_fewer() -> None:
    command = ["setpriv", "--bounding-set=-sys_admin", "sh", "-c", "echo; read line"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        assert syscalls.capabilities(child.pid) == int(of_status(child.pid, "CapEff"), 16)
        assert not syscalls.capabilities(child.pid) & 1 << 21
        child.communicate(b"\n")


def test_what_cannot_be_told_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        syscalls.directory("/nowhere")
    with pytest.raises(ProcessLookupError):
        syscalls.capabilities(1 << 30)
