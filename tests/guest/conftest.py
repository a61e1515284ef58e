"""What the guest's tests share: the private namespaces of tests/netns, and no silent green.

A skip in here is a failure, unless it says that tests/guest covers the claim, which this very kernel can do, or which later Linux does.
"""

import re

import pytest

from tests.netns.conftest import container, host, host_untouched, make_space, root_only

__all__ = ["container", "host", "host_untouched", "make_space", "root_only"]

EARNED = re.compile(r"tests/guest|Linux [0-9]+\.[0-9]+ does")
"""What the reason of a skip has to say."""

SKIPPED = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SKIPPED] = []
    config.pluginmanager.register(Earned(config.stash[SKIPPED]), "tests.guest.skips")


class Earned:
    """Holds the whole session to it, the tests of other directories that run in the guest too."""

    def __init__(self, skipped: list[str]) -> None:
        self.skipped = skipped

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail") and not EARNED.search(_reason(report)):
            self.skipped.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.skipped.append(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for name in self.skipped:
            terminalreporter.write_line(f"SKIPPED, a failure in the guest: {name}")


def _reason(report: pytest.TestReport) -> str:
    """Return why a test was skipped; pytest tells it as the last of three."""
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
