"""Claims about the pieces of a worker; the whole of it is tested end to end:

- an environment is read as the interpreter reads its own: the first of a name counts, what is no NAME=value is dropped
- only a sealed memory file is read
- a path is told without links as it leads in this process, also where it leads to no file or to one without a path
"""

import os
from pathlib import Path

import pytest

from agent import admission, serving, worker
from agent.protocol import DeclinedError, Reason


@pytest.mark.parametrize(
    ("block", "found"),
    [
        (b"", {}),
        (b"A=1\0B=\0", {"A": "1", "B": ""}),
        (b"A=1\0A=2\0", {"A": "1"}),
        (b"junk\0A=x=y\0", {"A": "x=y"}),
        (b"A=\xff\0", {"A": "\udcff"}),
    ],
)
def test_an_environment_is_read_as_the_interpreter_does(block: bytes, found: dict[str, str]) -> None:
    assert worker.variables(block) == found


def test_a_sealed_file_is_read_whole() -> None:
    file = serving.sealed("environ", b"A=1\0" * 5000)
    try:
        assert worker.content(file) == b"A=1\0" * 5000
    finally:
        os.close(file)


def test_another_file_is_not_read() -> None:
    open_ends = [*os.pipe(), os.open("/etc/passwd", os.O_RDONLY), os.memfd_create("open", os.MFD_ALLOW_SEALING)]
    for file in open_ends:
        with pytest.raises(DeclinedError) as declined:
            worker.content(file)
        assert declined.value.reason is Reason.MALFORMED
        os.close(file)


def test_a_path_is_told_as_it_leads_here(tmp_path: Path) -> None:
    file, own, absent, none = (tmp_path / name for name in ("file", "own", "absent", "none"))
    file.touch()
    own.symlink_to("/proc/self/ns/net")
    absent.symlink_to("/proc/self/nothing")
    none.symlink_to(file)
    pid = os.getpid()

    assert worker.without_links(str(none)) == str(file)
    assert worker.without_links("/proc/self/status") == f"/proc/{pid}/status"
    assert worker.without_links(str(own)).startswith(f"/proc/{pid}/ns/")
    assert worker.without_links(str(absent)) == f"/proc/{pid}/nothing"
    assert worker.without_links("/dev/fd/999") == f"/proc/{pid}/fd/999"
    assert worker.without_links("/nowhere/../x") == "/x"
    assert worker.without_links("a\0b") == "a\0b"


@pytest.mark.parametrize("target", ["/proc/self/ns/net", "/proc/thread-self/ns/net", "/proc/self/nothing"])
def test_a_link_to_what_means_another_thing_elsewhere_is_seen(target: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(target)
    path = str(tmp_path / "link")

    assert admission.misplaced(path, worker.without_links(path), f"/proc/{os.getpid()}") is Reason.OWN
