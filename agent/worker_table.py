"""What supervisor and workers know of each other: one row per worker in shared memory, written by that worker only.

A row outlives its worker, so that the counts survive a replacement.
"""

import mmap
import time
from dataclasses import dataclass

from agent.protocol import Reason

REASONS = tuple(Reason)
COLUMNS = (
    "busy_since",
    "taken",
    "warm",
    "withdrawn",
    "late_modules",
    "lost_lines",
    *(reason.name for reason in REASONS),
)
NUMBER_BYTES = 8
VACANT = -1
"""Stands where a request's start would: nobody has this row, or nobody yet, so no request can be begun either."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What all workers have counted since the agent started."""

    warm: int
    """Requests served."""
    withdrawn: int
    """Requests whose launcher had gone its own way."""
    late_modules: int
    """Modules that were loaded during a request."""
    lost_lines: int
    """Log lines that could not be written."""
    declined: dict[str, int]
    """Requests declined, by reason."""

    @property
    def cold(self) -> int:
        """Requests that came here and were not served: withdrawn after 200 ms, or declined."""
        return self.withdrawn + sum(self.declined.values())


class Row:
    """The row of one worker, or the supervisor's; times are nanoseconds of the monotonic clock, 0 means idle."""

    __slots__ = ("_cells",)

    def __init__(self, cells: memoryview) -> None:
        self._cells = cells

    def begin(self) -> None:
        """Note that a request is in hand from now on."""
        self._cells[_TAKEN] = 0
        self._cells[_BUSY] = time.monotonic_ns()

    def take(self) -> None:
        """Note that the request in hand has passed the commit point."""
        self._cells[_TAKEN] = 1

    def end(self) -> None:
        """Note that no request is in hand."""
        self._cells[_BUSY] = 0

    def vacate(self) -> None:
        """Note that there is no worker."""
        self._cells[_BUSY] = VACANT

    @property
    def is_free(self) -> bool:
        """Return whether a worker waits for a request."""
        return not self._cells[_BUSY]

    @property
    def busy_since(self) -> int:
        """When the request in hand began, 0 when there is none."""
        return max(0, int(self._cells[_BUSY]))

    @property
    def is_taken(self) -> bool:
        """Return whether the request in hand has passed the commit point."""
        return bool(self._cells[_TAKEN])

    @property
    def warm(self) -> int:
        """How many requests were served."""
        return int(self._cells[_WARM])

    def count_warm(self) -> None:
        """Count a request that was served."""
        self._cells[_WARM] += 1

    def count_withdrawn(self) -> None:
        """Count a request whose launcher had gone its own way when it was looked at."""
        self._cells[_WITHDRAWN] += 1

    def count_declined(self, reason: Reason) -> None:
        """Count a request that was declined."""
        self._cells[_DECLINED + REASONS.index(reason)] += 1

    def count_late(self, modules: int) -> None:
        """Count modules that were loaded by a request."""
        self._cells[_LATE] += modules

    def count_lost(self, lines: int = 1) -> None:
        """Count lines that could not be written: nobody read them, or there was no room."""
        self._cells[_LOST] += lines

    def __getitem__(self, column: int) -> int:
        return int(self._cells[column])


_BUSY, _TAKEN, _WARM, _WITHDRAWN, _LATE, _LOST, _DECLINED = range(7)


class Table:
    """All rows, in anonymous shared memory: `workers` of them, vacant at first, and one for the supervisor's counts."""

    def __init__(self, workers: int) -> None:
        rows = workers + 1
        width = len(COLUMNS) * NUMBER_BYTES
        self._memory = mmap.mmap(-1, rows * width)
        cells = memoryview(self._memory)
        *workers_rows, self.supervisor = (
            Row(cells[start : start + width].cast("q")) for start in range(0, rows * width, width)
        )
        self.rows = tuple(workers_rows)
        for row in self.rows:
            row.vacate()

    def all_busy(self) -> bool:
        """Return whether no worker could begin a request now."""
        return not any(row.is_free for row in self.rows)

    def totals(self) -> Totals:
        """Return the sums over all rows; reasons that never occurred are left out."""
        sums = [sum(row[column] for row in (*self.rows, self.supervisor)) for column in range(len(COLUMNS))]
        declined = {reason.value: count for reason, count in zip(REASONS, sums[_DECLINED:], strict=True) if count}
        return Totals(sums[_WARM], sums[_WITHDRAWN], sums[_LATE], sums[_LOST], declined)
