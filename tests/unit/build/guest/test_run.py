"""Claims about running the guest; a program of three lines stands for the emulator:

- the machine has a serial console, two disks nothing is written to, and no network
- the guest's exit code is ours; a guest without one is an error, a guest that takes too long is stopped
- a kernel that is not there is named, with the command that fetches it
"""

from pathlib import Path

import pytest

from build.guest import run
from build.guest.run import GuestError, Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "vmlinuz", tmp_path / "system", tmp_path / "check,out", tmp_path / "code")


def emulate(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = folder / "emulator"
    emulator.write_text(f"#!/bin/sh\n{script}\n")
    emulator.chmod(0o755)
    monkeypatch.setattr(run, "EMULATOR", str(emulator))


def test_the_machine_keeps_its_disks_and_has_no_network(machine: Machine) -> None:
    drives = [word for word in machine.command if word.startswith("if=none")]

    assert [",snapshot=on" in drive for drive in drives] == [True, True]
    assert "check,,out" in drives[1]
    assert "-nodefaults" in machine.command
    assert not [word for word in machine.command if "net" in word.split("=")[0].split("-")]


def test_the_console_is_streamed(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    emulate(tmp_path, "echo 12 passed", monkeypatch)

    first, last = run.power(machine, 30)

    assert capfd.readouterr().out == "12 passed\n"
    assert 0 < first <= last


def test_a_guest_that_takes_too_long_is_stopped(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulate(tmp_path, "exec sleep 60", monkeypatch)

    with pytest.raises(GuestError, match="stopped after 0 s"):
        run.power(machine, 0.2)


@pytest.mark.parametrize(("sent", "code"), [("exit 0\n", 0), ("exit 5\r\n", 5)])
def test_the_guests_exit_code_is_ours(sent: str, code: int) -> None:
    assert run.exit_code(sent) == code


@pytest.mark.parametrize("sent", ["", "exit", "exit x", "panic 0"])
def test_a_guest_without_an_exit_code_is_an_error(sent: str) -> None:
    with pytest.raises(GuestError, match="ended without an exit code"):
        run.exit_code(sent)


def test_a_missing_kernel_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "HOME", tmp_path)

    assert run.main([]) == 1
    assert capsys.readouterr().err.startswith(f"guest: no kernel in {tmp_path}/kernel: sh build/setup.sh guest")
