"""Claims about kernel.spawn.

- a program is found in fixed places, as an executable file only
- it sees a minimal environment, whatever ours is, and no ignored signals
- what goes in and comes out is whole, however much; nobody is waited for whom it leaves behind
- what it prints becomes an error with its first line and the errno it spells
- one that may not take longer is killed and is ETIMEDOUT; meanwhile somebody is told, second by second
- a program that is not installed is ENOPKG, which is not `gone`
"""

import errno
import os
import signal
from pathlib import Path

import pytest

from kernel import spawn
from kernel.errors import KernelError
from kernel.spawn import Outcome


def test_a_program_is_found_whatever_path_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert spawn.find("cat") in {"/usr/bin/cat", "/bin/cat"}


def test_the_first_place_wins(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "nft").touch(mode=0o755)
    assert spawn.find("nft", [str(tmp_path / "a"), str(tmp_path / "b")]) == str(tmp_path / "a/nft")


def test_only_an_executable_file_is_a_program(tmp_path: Path) -> None:
    (tmp_path / "nft").mkdir()
    (tmp_path / "iptables").touch(mode=0o644)
    assert [spawn.find(name, [str(tmp_path)]) for name in ("nft", "iptables", "absent")] == [None, None, None]


def test_a_program_sees_a_minimal_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD_NOT_REALLY", "x")
    seen = dict(line.split("=", 1) for line in spawn.run(["env"]).stdout.splitlines())
    assert seen == spawn.ENVIRONMENT


def test_input_goes_in_and_output_comes_out() -> None:
    assert spawn.run(["cat"], "größe") == Outcome(0, "größe", "")


def test_output_of_any_length_is_read_whole() -> None:
    assert len(spawn.run(["seq", "100000"]).stdout) > spawn.CHUNK
    assert spawn.run(["cat"], "x" * 3 * spawn.CHUNK).stdout == "x" * 3 * spawn.CHUNK


def test_how_a_program_ends_is_told() -> None:
    assert spawn.run(["sh", "-c", "echo out; echo err >&2; exit 3"]) == Outcome(3, "out\n", "err\n")
    assert spawn.run(["sh", "-c", "kill -9 $$"]).code == -9


def test_whom_a_program_leaves_behind_is_not_waited_for() -> None:
    left = int(spawn.run(["sh", "-c", "tail -f /dev/null & echo $!"]).stdout)
    os.kill(left, signal.SIGKILL)


def test_a_program_dies_of_a_broken_pipe_as_ever() -> None:
    ignored = int(spawn.run(["grep", "SigIgn", "/proc/self/status"]).stdout.split()[1], 16)
    assert not ignored & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)


def test_a_program_that_is_not_installed_is_enopkg() -> None:
    with pytest.raises(KernelError, match="running no-such-program: Package not installed") as refused:
        spawn.run(["no-such-program"])
    assert (refused.value.errno, refused.value.gone) == (errno.ENOPKG, False)
    assert "install" in refused.value.hint


def test_an_error_is_the_first_line_and_the_errno_it_spells() -> None:
    printed = "internal:0:0-0: Error: No such file or directory; did you mean x?\n\nlist table\n"
    error = spawn.error_from(Outcome(1, "", printed), "listing")
    assert error.errno == errno.ENOENT
    assert str(error).startswith("listing: internal:0:0-0: Error: No such file or directory; did you mean x?")


def test_an_error_without_words_tells_the_exit_code() -> None:
    error = spawn.error_from(Outcome(3, "", "\n"), "listing")
    assert (error.errno, str(error)) == (errno.EIO, "listing: exit code 3 (Input/output error)")


def test_a_program_that_takes_too_long_is_killed() -> None:
    told: list[float] = []
    with pytest.raises(KernelError) as refused:
        spawn.run(["sleep", "60"], within=1.2, meanwhile=told.append)
    assert (refused.value.errno, len(told)) == (errno.ETIMEDOUT, 2)
    assert spawn.run(["echo", "in time"], within=30).stdout == "in time\n"
