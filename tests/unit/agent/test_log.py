"""Claims about the agent's log:

- a line begins with who says it
- lines that cannot be written are counted in the row, and told of when lines can be written again
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.log import Log
from agent.worker_table import Table


@pytest.fixture
def stderr(tmp_path: Path) -> Iterator[Path]:
    """Yield where a test directs descriptor 2 to; it is put back afterwards."""
    kept = os.dup(2)
    yield tmp_path / "log"
    os.dup2(kept, 2)
    os.close(kept)


def direct(path: Path) -> None:
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(opened, 2)
    os.close(opened)


def test_a_line_begins_with_who_says_it(stderr: Path) -> None:
    direct(stderr)
    Log(Table(1).rows[0], "tulle agent: worker 7").say("has grown")
    assert stderr.read_text() == "tulle agent: worker 7: has grown\n"


def test_lost_lines_are_counted_and_told_of(stderr: Path) -> None:
    table = Table(1)
    log = Log(table.rows[0], "x")
    direct(Path("/dev/full"))
    log.say("one")
    log.say("two\nlines")
    direct(stderr)
    log.say("three")
    log.say("four")
    told = "x: three\nx: 3 lines before the last one could not be written\nx: four\n"
    assert (stderr.read_text(), table.totals().lost_lines) == (told, 3)
