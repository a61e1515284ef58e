"""Turns times into rows with medians, p95 and the ratio of the medians: a table for people, a list for programs."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One measured step."""

    scenario: str
    ours: Sequence[float]  # times in ms
    reference: Sequence[float]  # times in ms; empty: not measured
    why: str = ""  # why the reference was not measured

    def members(self) -> dict[str, object]:
        """Return the row for JSON; null where the reference has no figure."""
        ours, reference = statistics.median(self.ours), statistics.median(self.reference) if self.reference else None
        ratio = round(ours / reference, 3) if reference else None
        figures = {"ours_ms": round(ours, 3), "reference_ms": reference and round(reference, 3), "ratio": ratio}
        return {"scenario": self.scenario, **figures}

    def line(self) -> str:
        """Return the row of the table."""
        start = f"{self.scenario:<48}{_figures(self.ours)}"
        if not self.reference:
            return f"{start}   {self.why}"
        ratio = statistics.median(self.ours) / statistics.median(self.reference)
        return f"{start}{_figures(self.reference)}{ratio:>8.2f}"


HEAD = f"{'':<48}{'ours ms':>10}{'p95':>9}{'reference':>10}{'p95':>9}{'ratio':>8}"


def table(rows: Sequence[Row]) -> str:
    """Return the table."""
    return "\n".join([HEAD, *(row.line() for row in rows)])


def write(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as a list of objects."""
    path.write_text(json.dumps([row.members() for row in rows], indent=1) + "\n")


def _figures(times: Sequence[float]) -> str:
    ordered = sorted(times)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return f"{statistics.median(times):>10.1f}{p95:>9.1f}"
