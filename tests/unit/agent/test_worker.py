"""Claims about the pieces of a worker; the whole of it is tested end to end:

- an environment is read as the interpreter reads its own: the first of a name counts, what is no NAME=value is dropped
- only a sealed memory file is read
"""

import os

import pytest

from agent import serving, worker
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
