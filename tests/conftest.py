"""What every test leaves as it was: the host's /run/tulle, where programs serialise the requests for one attachment."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni import serial


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
