"""What holds for every test: no deadline for a drawn example, signals as in a terminal, the host's /run/tulle left as it was."""

import shutil
import signal
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


STATE = Path(locks.FOLDER).parent
"""Where programs keep what they share on a host: tests in namespaces of this host's files write there, too."""

ABSENT = pytest.StashKey[bool]()
"""Whether STATE was not there before the first test."""


def pytest_sessionstart(session: pytest.Session) -> None:
    """Look whether this host has state of its own, once for all processes of a run."""
    if not hasattr(session.config, "workerinput"):
        session.config.stash[ABSENT] = not STATE.exists()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove what tests wrote into STATE, unless it was there before, when the last process has ended."""
    if session.config.stash.get(ABSENT, False):
        shutil.rmtree(STATE, ignore_errors=True)


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
