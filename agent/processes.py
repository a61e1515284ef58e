"""Reads about other processes: how much memory one takes, and whether it waits for a child."""

import os
from collections.abc import Collection


def memory(pid: int) -> int:
    """Return the proportional set size of a process in KiB (proc_pid_smaps(5)), 0 when it has ended."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:  # noqa: PTH123 - read at once
            found = [line.split()[1] for line in file if line.startswith("Pss:")]
    except OSError:
        return 0
    return int(found[0]) if found else 0


def children(parents: Collection[int]) -> set[int]:
    """Return those of `parents` that have a living child: they wait for a program."""
    waiting = set()
    for name in os.listdir("/proc"):  # noqa: PTH208 - names only
        if name.isdigit() and (found := _parent(name)) in parents:
            waiting.add(found)
    return waiting


def _parent(pid: str) -> int:
    """Return the parent of a process that runs, 0 for one that has ended (proc_pid_stat(5))."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - read at once
            state, parent = file.read().rpartition(b")")[2].split()[:2]
    except (OSError, ValueError):
        return 0
    return 0 if state in (b"Z", b"X") else int(parent)
