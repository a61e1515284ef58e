"""What holds for every test: no deadline for a drawn example, signals as in a terminal, the host's /run/tulle left as it was."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

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


CARRIERS = (
    "tests/netns/cli/commands/test_leave.py",
    "tests/netns/overlay/datapath/test_l3_device.py",
    "tests/netns/overlay/test_backends.py",
    "tests/netns/overlay/test_main.py",
    "tests/netns/overlay/test_wireguard.py",
    "tests/netns/kernel/test_wireguard.py",
)
"""Files whose tests start wireguard-go or our forwarder: those have one place for their sockets, so two of these do not go side by side."""

APART = ("tests/e2e/test_differential.py",)
"""Files whose tests share nothing and take long: they may go to any process."""


class Together(LoadFileScheduling):
    """Gives a file's tests to one process, those of CARRIERS to the same, and those of APART to any."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        if file in APART:
            return nodeid
        return "carriers" if file in CARRIERS else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """Have pytest-xdist distribute by Together."""
    return Together(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Say what the marks mean."""
    config.addinivalue_line(
        "markers", "alone: it measures, or changes what every process of the machine sees; runs after the others"
    )
