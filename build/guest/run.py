"""Runs tests under Debian's own kernel in an emulated machine (`make test-guest`), for what the host's kernel lacks.

Two disks are made from this host. The machine boots, runs pytest with the given arguments, and its output and exit code
are passed on. It is emulated in software, so neither KVM nor root is needed; only for amd64. It has no network card,
and what it writes to its disks is discarded.
"""

import fcntl
import os
import shutil
import subprocess  # noqa: TID251 - the build starts the emulator
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from build.guest import checkout, system
from build.programs import ROOT, site_packages

HOME = ROOT / ".guest"
LIMIT = (
    1800  # seconds from power on to the exit code; a quiet host needs a tenth of that, one that tests beside it half
)
EMULATOR = "qemu-system-x86_64"
MEMORY = 1024  # MiB
BOOT = "root=/dev/nvme0n1 rootfstype=ext4 rw init=/guest/init console=ttyS0 quiet panic=-1 mitigations=off nokaslr net.ifnames=0"


class GuestError(Exception):
    """The tests could not be run. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The parts of a machine."""

    kernel: Path
    system: Path  # disk image
    checkout: Path  # disk image
    code: Path  # file behind the second serial port

    @property
    def command(self) -> list[str]:
        """The emulator's command line. It ends when we do, even when we are killed."""
        disks = [part for nsid, path in enumerate((self.system, self.checkout), 1) for part in _disk(nsid, path)]
        return [
            *("setpriv", "--pdeathsig", "KILL", EMULATOR),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-accel", "tcg,thread=multi", "-smp", str(min(os.cpu_count() or 1, 4)), "-m", str(MEMORY)),
            *("-kernel", str(self.kernel), "-append", BOOT),
            *("-device", "nvme,id=nvme,serial=guest", *disks),
            *("-serial", "stdio", "-serial", f"file:{self.code}"),
        ]


def _disk(nsid: int, path: Path) -> tuple[str, ...]:
    """Return the options of one disk. Its name in the kernel is nvme0n<nsid>; what is written to it is discarded."""
    name = str(path).replace(",", ",,")  # how QEMU quotes a comma
    drive = f"if=none,id=disk{nsid},file={name},format=raw,snapshot=on"
    return ("-drive", drive, "-device", f"nvme-ns,drive=disk{nsid},nsid={nsid}")


def say(text: str) -> None:
    """Print one line of progress at once."""
    print(f"guest: {text}", flush=True)


def exit_code(text: str) -> int:
    """Return the code that the guest sent on its second serial port. Raises GuestError if it ended before."""
    word, _, number = text.strip().partition(" ")
    if word != "exit" or not number.isdigit():
        raise GuestError("the guest ended without an exit code; the lines above are its last")
    return int(number)


def power(machine: Machine, limit: float) -> tuple[float, float]:
    """Run a machine until it powers off, and print its console.

    Return the seconds to its first and to its last output.
    """
    begun = time.monotonic()
    first = 0.0
    with subprocess.Popen(machine.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as emulator:
        assert emulator.stdout is not None  # noqa: S101 - PIPE was asked for, which the type does not know
        clock = threading.Timer(limit, emulator.kill)
        clock.start()
        try:
            while words := os.read(emulator.stdout.fileno(), 4096):
                first = first or time.monotonic() - begun
                os.write(1, words)
        finally:
            late = clock.finished.is_set()
            clock.cancel()
            emulator.kill()
    if late:
        raise GuestError(f"the guest was stopped after {limit:.0f} s; the lines above are its last")
    return first, time.monotonic() - begun


def disks(arguments: Sequence[str]) -> tuple[Path, Path]:
    """Make both disks, the first only when it has changed."""
    site = site_packages()
    first, second = HOME / "system.ext4", HOME / "checkout.ext4"
    begun = time.monotonic()
    made = system.ensure(first, site, HOME / "kernel")
    say(f"disk of the system {'made in' if made else 'is up to date,'} {time.monotonic() - begun:.1f} s")
    begun = time.monotonic()
    columns = shutil.get_terminal_size((120, 24)).columns
    checkout.make(second, ROOT, site, checkout.start(ROOT, arguments, columns, colour=os.isatty(1)))
    say(f"disk of the checkout made in {time.monotonic() - begun:.1f} s")
    return first, second


def run(arguments: Sequence[str]) -> int:
    """Run pytest with these arguments in the guest, and return its exit code."""
    kernel = next((HOME / "kernel/boot").glob("vmlinuz-*"), None)
    if kernel is None:
        raise GuestError(f"no kernel in {HOME}/kernel: sh build/setup.sh guest fetches one, as does make test-guest")
    code = HOME / "code"
    with (HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second run in this checkout waits for the first
        code.write_text("")
        machine = Machine(kernel, *disks(arguments), code)
        say(f"booting {kernel.name.removeprefix('vmlinuz-')} by software emulation, {LIMIT} s at most")
        first, last = power(machine, LIMIT)
        number = exit_code(code.read_text())
    say(f"booted in {first:.1f} s, ran {last - first:.1f} s, exit code {number}")
    return number


def main(arguments: Sequence[str]) -> int:
    """Return the exit code of the tests, or print why they could not be run and return 1."""
    try:
        return run(arguments)
    except subprocess.CalledProcessError as error:
        print(f"guest: {error.cmd[0]}: {error.stderr.strip()}", file=sys.stderr)
    except (GuestError, OSError) as error:
        print(f"guest: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
