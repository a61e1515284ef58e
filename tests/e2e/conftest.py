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
