"""Claims about the shared table:

- what one process writes in its row, another reads
- totals are sums over all rows; cold is withdrawn and declined; reasons that never occurred are left out
- a row is busy from begin to end, and free only when a worker said so
"""

import os

from agent.protocol import Reason
from agent.worker_table import Table, Totals


def test_a_child_counts_for_its_parent() -> None:
    table = Table(2)
    child = os.fork()
    if child == 0:
        table.rows[1].count_warm()
        table.rows[1].begin()
        os._exit(0)
    os.waitpid(child, 0)
    assert table.rows[1].warm == 1
    assert table.rows[1].busy_since > 0
    assert table.rows[0].busy_since == 0


def test_totals_are_sums() -> None:
    table = Table(3)
    for row in table.rows:
        row.count_warm()
        row.count_declined(Reason.BUILD)
    table.rows[0].count_declined(Reason.OWN)
    table.rows[2].count_withdrawn()
    table.rows[1].count_late(4)
    table.rows[0].count_lost()
    table.supervisor.count_lost(2)

    assert table.totals() == Totals(3, 1, 4, 3, {Reason.BUILD.value: 3, Reason.OWN.value: 1})
    assert table.totals().cold == 5


def test_a_row_is_busy_from_begin_to_end() -> None:
    row = Table(1).rows[0]
    row.begin()
    assert row.busy_since
    row.end()
    assert not row.busy_since


def test_a_request_is_taken_from_the_commit_point_to_the_next() -> None:
    row, told = Table(1).rows[0], []
    for step in (row.begin, row.take, row.end, row.begin):
        step()
        told.append(row.is_taken)
    assert told == [False, True, True, False]


def test_all_are_busy_while_none_is_free() -> None:
    table = Table(2)
    assert table.all_busy()
    assert table.rows[0].busy_since == 0
    table.rows[0].end()
    assert not table.all_busy()
    table.rows[0].begin()
    assert table.all_busy()
    table.rows[0].vacate()
    assert not table.rows[0].is_free
