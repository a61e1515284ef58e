"""Counts the programs that code under test starts, each of which costs milliseconds; they run all the same."""

import subprocess
from typing import Any

import pytest


def counted_programs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the name of every program started from now on."""
    started: list[str] = []
    real = subprocess.Popen

    def counting(arguments: list[str], **keys: Any) -> Any:
        started.append(arguments[0].rpartition("/")[2])
        return real(arguments, **keys)

    monkeypatch.setattr(subprocess, "Popen", counting)
    return started
