"""Counts the programs that code under test starts, each of which costs milliseconds; they run all the same."""

import os
from typing import Any

import pytest


def counted_programs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the name of every program started from now on."""
    started: list[str] = []
    real = os.posix_spawn

    def counting(path: str, *rest: Any, **keys: Any) -> int:
        started.append(path.rpartition("/")[2])
        return real(path, *rest, **keys)

    monkeypatch.setattr(os, "posix_spawn", counting)
    return started
