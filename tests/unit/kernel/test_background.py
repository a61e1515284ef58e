"""Claims about kernel.background: the caller goes on meanwhile, waits no longer than it needs to, and hears once of what went wrong.

What is unfinished is known with its descriptors; settling waits for all of it, or for all but the newest.
"""

from collections.abc import Callable
from threading import Event, get_ident

import pytest

from kernel.background import Background, held, settle


def test_the_caller_goes_on_meanwhile() -> None:
    go, done = Event(), Event()

    def work() -> None:
        go.wait(10)
        done.set()

    begun = Background(work)
    assert not done.is_set()
    go.set()
    begun.finish()
    assert done.is_set()


def test_what_went_wrong_is_raised_once() -> None:
    def work() -> None:
        raise OSError(5, "no luck")

    begun = Background(work)
    with pytest.raises(OSError, match="no luck"):
        begun.finish()
    begun.finish()


def test_the_work_is_not_the_callers_threads() -> None:
    seen: list[int] = []
    Background(lambda: seen.append(get_ident())).finish()
    assert seen != [get_ident()]


def waiting(go: Event) -> Callable[[], None]:
    def work() -> None:
        go.wait(10)

    return work


def test_nobody_waits_longer_than_needed() -> None:
    go = Event()
    begun = Background(waiting(go), 7)
    begun.finish(lambda: True)
    assert held() == {7}
    go.set()
    settle()
    assert held() == set()


def test_settling_may_leave_the_newest() -> None:
    first, second = Event(), Event()
    Background(waiting(first), 7)
    Background(waiting(second), 8)
    first.set()
    settle(leave=1)
    assert held() == {8}
    settle(leave=2)
    second.set()
    settle()


def test_what_went_wrong_is_raised_though_the_need_did_not_end() -> None:
    def work() -> None:
        raise OSError(5, "no luck")

    with pytest.raises(OSError, match="no luck"):
        Background(work).finish(lambda: False)
