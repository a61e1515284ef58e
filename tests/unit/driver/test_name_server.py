"""Claims about finding and starting aardvark-dns, with programs of a few lines in its place:

- it is where netavark was told, else beside netavark, else where Podman looks for helpers
- what a start complains of is the reason; one that gets nowhere is ended and said so
- under systemd it is started in a scope of its own, and nowhere else; without one where systemd gives none

What the real one does is looked at in tests/netns/driver/test_name_server.py.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from driver import name_server
from driver.name_server import NameServer, SilentError


def program(path: Path, *lines: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(0o755)
    return path


@contextmanager
def caller(executable: str | Path, *words: str | Path) -> Iterator[int]:
    """Run a program that waits for its stdin, with these arguments; yield its pid."""
    with subprocess.Popen(
        [executable, "-c", "echo; read word", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == b"\n"
        yield job.pid
        job.communicate(b"\n")


def server(folder: Path, pid: int, path: str = "/usr/bin:/bin", booted: str = "/none") -> NameServer:
    return NameServer(str(folder / "served"), pid, {"PATH": path}, booted)


def test_it_is_where_netavark_was_told(tmp_path: Path) -> None:
    told = program(tmp_path / "own" / "name-server")

    with caller("/bin/sh", "--aardvark-binary", told) as pid:
        assert server(tmp_path, pid).find() == str(told)


def test_else_it_is_beside_netavark(tmp_path: Path) -> None:
    beside = program(tmp_path / "own" / "aardvark-dns")
    shutil.copy(os.path.realpath("/bin/sh"), tmp_path / "own" / "sh")

    with caller(tmp_path / "own" / "sh", "--aardvark-binary", "/none") as pid:
        assert server(tmp_path, pid).find() == str(beside)


def test_else_it_is_where_podman_looks_for_helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = program(tmp_path / "aardvark-dns")
    monkeypatch.setattr(name_server, "PLACES", ("/none", str(tmp_path)))

    assert server(tmp_path, 0).find() == str(helper)
    helper.unlink()
    assert server(tmp_path, 0).find() == ""


def test_without_one_the_reason_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_server, "PLACES", ())

    with pytest.raises(SilentError, match="not installed; Debian has it in the package aardvark-dns"):
        server(tmp_path, 0).serve()


def test_what_a_start_complains_of_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "aardvark-dns", "echo one >&2", "echo two >&2", "exit 3")
    monkeypatch.setattr(name_server, "PLACES", (str(tmp_path),))

    with pytest.raises(SilentError, match=f"{tmp_path}/aardvark-dns does not start: one, two$"):
        server(tmp_path, 0).serve()


def test_a_start_that_gets_nowhere_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "aardvark-dns", f"echo $$ > {tmp_path}/pid", f"cat {tmp_path}/fifo")
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setattr(name_server, "PLACES", (str(tmp_path),))
    monkeypatch.setattr(name_server, "PATIENCE", 0.3)

    with pytest.raises(SilentError, match="it was not ready after"):
        server(tmp_path, 0).serve()
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


@pytest.mark.parametrize("booted", [True, False])
def test_under_systemd_it_gets_a_scope_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, booted: bool
) -> None:
    program(tmp_path / "aardvark-dns", f'echo "$0 $@" > {tmp_path}/run')
    program(tmp_path / "bin" / "systemd-run", f'echo "$1 $2" > {tmp_path}/scope', "shift 2", 'exec "$@"')
    monkeypatch.setattr(name_server, "PLACES", (str(tmp_path),))

    server(tmp_path, 0, f"{tmp_path}/bin:/bin", str(tmp_path) if booted else "/none").serve()
    assert (tmp_path / "run").read_text() == f"{tmp_path}/aardvark-dns --config {tmp_path}/served --port 53 run\n"
    assert (tmp_path / "scope").exists() == booted
    assert not booted or (tmp_path / "scope").read_text() == "--quiet --scope\n"


def test_where_systemd_gives_no_scope_it_is_started_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "aardvark-dns", f'echo "$@" > {tmp_path}/run')
    program(tmp_path / "bin" / "systemd-run", 'echo "Failed to connect to bus" >&2', "exit 1")
    monkeypatch.setattr(name_server, "PLACES", (str(tmp_path),))

    server(tmp_path, 0, f"{tmp_path}/bin:/bin", str(tmp_path)).serve()
    assert (tmp_path / "run").read_text() == f"--config {tmp_path}/served --port 53 run\n"
