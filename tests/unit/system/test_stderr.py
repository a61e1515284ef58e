"""Claims about stderr, each shown by a process of its own:

- a full disk, a broken pipe, a full pipe or socket that nobody reads, and a closed descriptor end nobody and hold nobody up; what was lost is counted
- what was lost is told once, when lines are written again
- a file that others write to as well keeps their lines and ours, and the open file stays as it was
- text that is no text is escaped
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

TALK = """
import sys
from system import stderr
stderr.install()
for number in range(200):
    print("line", number, file=sys.stderr)
print(sys.stderr.lost)
"""


def talk(directory: Path, redirection: str, program: str = TALK) -> str:
    """Run `program` with its stderr as the shell redirects it; return what it prints."""
    (directory / "program").touch()
    done = subprocess.run(
        ["/bin/bash", "-c", f'"$0" -c "$1" {redirection}', sys.executable, program],
        cwd=directory, env={"PYTHONPATH": str(Path(__file__).parents[3])}, stdout=subprocess.PIPE, timeout=20, check=True,
    )  # fmt: skip
    return done.stdout.decode()


@pytest.mark.parametrize(
    ("redirection", "lost"),
    [
        ("2>/dev/full", "200\n"),
        ("2>&-", "0\n"),
        ("2>/dev/null", "0\n"),
        ("2<program", "200\n"),
    ],
)
def test_what_cannot_be_written_is_counted(tmp_path: Path, redirection: str, lost: str) -> None:
    assert talk(tmp_path, redirection) == lost


def test_a_broken_pipe_ends_nobody(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert spoken(writing) == "200\n"
    finally:
        os.close(writing)


def test_a_full_pipe_holds_nobody_up(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    while True:
        try:
            os.write(writing, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writing, True)
    assert spoken(writing) == "200\n"
    assert os.get_blocking(writing)
    os.close(reading)
    os.close(writing)


def test_a_full_socket_holds_nobody_up() -> None:
    """The journal's, when it is stopped."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        while True:
            try:
                theirs.send(b"x" * 4096)
            except BlockingIOError:
                break
        theirs.setblocking(True)
        assert spoken(theirs.fileno()) == "200\n"


def spoken(stderr: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", TALK], env={"PYTHONPATH": str(Path(__file__).parents[3])}, stderr=stderr,
        stdout=subprocess.PIPE, timeout=20, check=True,
    )  # fmt: skip
    return done.stdout.decode()


AGAIN = """
import os, sys
from system import stderr
stderr.install()
paper = sys.stderr
os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
paper.write("one\\n")
paper.write("two\\nthree\\n")
told = [paper.regained()]
os.dup2(1, 2)
paper.write("four\\n")
told += [paper.regained(), paper.regained(), paper.lost]
print(told, flush=True)
"""


def test_what_was_lost_is_told_once_it_is_written_again(tmp_path: Path) -> None:
    assert talk(tmp_path, "", AGAIN) == "four\n[0, 3, 0, 0]\n"


def test_a_file_keeps_everybodys_lines(tmp_path: Path) -> None:
    (tmp_path / "program").write_text(TALK)
    script = f'{{ echo before; "{sys.executable}" program; echo after; }} >log 2>&1'
    subprocess.run(
        ["/bin/bash", "-c", script], cwd=tmp_path, env={"PYTHONPATH": str(Path(__file__).parents[3])}, check=True
    )
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[:2] == ["before", "line 0"]
    assert lines[-3:] == ["line 199", "0", "after"]
    assert len(lines) == 203


def test_text_that_is_no_text_is_escaped(tmp_path: Path) -> None:
    program = r'import sys; from system import stderr; stderr.install(); sys.stderr.write("a\udcff\n")'
    assert talk(tmp_path, "2>&1", program) == "a\\udcff\n"
