"""What holds for every test: no deadline for a drawn example, signals as in a terminal, the host's /run/tulle left as it was."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from system import locks

settings.register_profile("busy", deadline=None)  # a loaded machine is slow, not wrong
settings.load_profile("busy")

for number in (signal.SIGINT, signal.SIGQUIT):
    if (
        signal.getsignal(number) is signal.SIG_IGN
    ):  # a shell does so for what it starts in the background, and programs inherit it
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def no_lock_file_left() -> Iterator[None]:
    """Remove the lock files and their folders after the last test, unless they were there before the first."""
    folder = Path(locks.FOLDER)
    made = [each for each in (folder, folder.parent) if not each.exists()]
    yield
    with contextlib.suppress(OSError):
        for each in made:
            for file in each.iterdir() if each == folder else ():
                file.unlink(missing_ok=True)
            each.rmdir()
