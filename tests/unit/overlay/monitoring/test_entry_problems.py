"""Claims: of ten thousand bad entries of a kind one line is written, and little is kept; another kind is another line; the same entry is
never said twice, another of its kind after an hour; however many kinds there are, lines and memory are bounded.
"""

import io
import tracemalloc
from ipaddress import IPv4Address

import pytest

from overlay.errors import Refused
from overlay.monitoring import entry_problems
from overlay.monitoring.entry_problems import Complaints
from overlay.monitoring.log import Log
from overlay.subnet import lease


class Desk:
    """A log with complaints, and the time."""

    def __init__(self) -> None:
        self.out, self.time = io.StringIO(), 0.0
        self.report = Complaints(Log(self.out, clock=lambda: "now"), lambda: self.time).report

    @property
    def lines(self) -> list[str]:
        return self.out.getvalue().splitlines()


def bad(number: int, value: str) -> Refused:
    address = IPv4Address(0x0A2A0000 + (number << 8))
    problem = lease.parse(f"{address}-24", value)
    assert isinstance(problem, Refused)
    return Refused(problem.what, where=f"/coreos.com/network/subnets/{address}-24")


@pytest.mark.parametrize(
    "value", ["x" * 100, "[]", '{"PublicIP": %d}', '{"PublicIP": "%d"}', '{"PublicIP": "1.1.1.1", "BackendType": [%d]}']
)
def test_ten_thousand_of_a_kind_are_one_line(value: str) -> None:
    desk = Desk()
    tracemalloc.start()
    for number in range(10_000):
        desk.report(bad(number, value.replace("%d", str(number))))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(desk.lines) == 1
    assert kept < 500_000  # each of them kept would be millions


def test_ten_thousand_keys_that_are_none_are_one_line() -> None:
    desk = Desk()
    for number in range(10_000):
        problem = lease.parse(f"../{number}", "{}")
        assert isinstance(problem, Refused)
        desk.report(problem)
    assert len(desk.lines) == 1


def test_another_kind_is_another_line() -> None:
    desk = Desk()
    for value in ("x", "[]", '{"PublicIP": 7}', '{"PublicIP": "x"}'):
        desk.report(bad(1, value))
    assert len(desk.lines) == 4


def test_the_same_entry_is_never_said_twice_and_another_after_an_hour() -> None:
    desk = Desk()
    for number in (1, 2, 1):
        desk.report(bad(number, "[]"))
        desk.time += entry_problems.QUIET / 3
    desk.report(bad(1, "[]"))
    assert len(desk.lines) == 1
    desk.report(bad(2, "[]"))
    assert (len(desk.lines), "10.42.2.0-24" in desk.lines[1]) == (2, True)


def test_however_many_kinds_there_are_lines_are_bounded() -> None:
    desk = Desk()
    for number in range(10_000):
        desk.report(Refused(f"bad: {chr(0x4E00 + number)}", where=str(number)))
    assert len(desk.lines) == entry_problems.KINDS + 1
