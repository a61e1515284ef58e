"""Runs the tests side by side, then those that must have the machine to themselves: what `make test` does with ARGS.

A file's tests stay together, in one of two to four processes (tests/conftest.py says which files stay together besides). Tests marked `alone`
measure, or change what every process of the machine sees; they follow one after the other. With --pdb or -s all run in one process.
"""

import os
import subprocess
import sys

NOTHING_FOUND = 5
"""How pytest ends when its options leave no test."""


def main(arguments: list[str]) -> int:
    """Return 0 when every test passed and there was one."""
    if {"--pdb", "-s", "-n0", "--collect-only"} & set(arguments):
        return pytest(*arguments)
    workers = min(max(os.cpu_count() or 1, 2), 4)
    beside = pytest(f"-n{workers}", "--dist=loadgroup", "-m", "not alone", *arguments)
    if beside not in (0, NOTHING_FOUND) and {"-x", "--exitfirst"} & set(arguments):
        return beside
    after = pytest("-m", "alone", *arguments)
    codes = {beside, after} - {NOTHING_FOUND}
    return max(codes) if codes else NOTHING_FOUND


def pytest(*arguments: str) -> int:
    """Run pytest in a process of its own and return its exit code."""
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
