"""What holds for every test: no deadline for a drawn example, signals as in a terminal, the host's /run/tulle left as it was."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from cni import serial

settings.register_profile("busy", deadline=None)  # a loaded machine is slow, not wrong
settings.load_profile("busy")

for number in (signal.SIGINT, signal.SIGQUIT):
    if (
        signal.getsignal(number) is signal.SIG_IGN
    ):  # a shell does so for what it starts in the background, and programs inherit it
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def no_lock_file_left() -> Iterator[None]:
    """Remove the lock file and its folder after the last test, unless they were there before the first."""
    lock = Path(serial.PATH)
    folder, file = lock.parent.exists(), lock.exists()
    yield
    with contextlib.suppress(OSError):
        if not file:
            lock.unlink(missing_ok=True)
        if not folder:
            lock.parent.rmdir()
