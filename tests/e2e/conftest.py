"""What every end-to-end test starts from: the built programs, never the sources."""

from collections.abc import Callable
from pathlib import Path

import pytest

DIST = Path(__file__).resolve().parents[2] / "dist"


@pytest.fixture(scope="session")
def program() -> Callable[[str], Path]:
    """Return the built CNI program of a name, as a runtime finds it in CNI_PATH."""

    def built(name: str) -> Path:
        path = DIST / "cni" / name
        if not path.is_file():
            pytest.fail(f"{path} is missing: run make build")
        return path

    return built


OUTAGES = pytest.StashKey[dict[str, dict[str, float | Exception]]]()
"""What test_outages measured, by backend and event."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show how long each backend took to be reachable again."""
    found = config.stash.get(OUTAGES, {})
    if not found:
        return
    terminalreporter.section("seconds until reachable again, by backend")
    terminalreporter.write_line(" " * 26 + "".join(f"{name:>11}" for name in found))
    for event in dict.fromkeys(event for took in found.values() for event in took):
        cells = (_cell(took.get(event)) for took in found.values())
        terminalreporter.write_line(f"{event:26}" + "".join(cells))


def _cell(took: float | Exception | None) -> str:
    return f"{'-' if took is None else 'failed' if isinstance(took, Exception) else f'{took:.1f}':>11}"
