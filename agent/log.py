"""Writes the agent's log; a line that cannot be written is counted in the status, and ends nothing."""

from agent.worker_table import Row
from system.stderr import Stderr


class Log:
    """The log of one process of the agent's, whose row counts what was lost; `who` begins its lines."""

    def __init__(self, row: Row, who: str) -> None:
        self._row = row
        self._who = who
        self._paper = Stderr()

    def say(self, text: str) -> None:
        """Write a line."""
        before = self._paper.lost
        self._paper.write(f"{self._who}: {text}\n")
        self._row.count_lost(self._paper.lost - before)
        if lost := self._paper.regained():
            self.say(f"{lost} lines before the last one could not be written")
