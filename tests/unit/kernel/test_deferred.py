"""Claims about kernel.deferred: the caller goes on meanwhile, waits no longer than it needs to, and hears once of what went wrong.

What is unfinished is known with its descriptors; settling waits for all of it, or for all but the newest.
"""

from collections.abc import Callable
from threading import Event, get_ident

import pytest

from kernel.deferred import DeferredDelete, drain, held


def test_the_caller_goes_on_meanwhile() -> None:
    go, done = Event(), Event()

    def work() -> None:
        go.wait(10)
        done.set()

    begun = DeferredDelete(work)
    assert not done.is_set()
    go.set()
    begun.finish()
    assert done.is_set()


def test_what_went_wrong_is_raised_once() -> None:
    def work() -> None:
        raise OSError(5, "no luck")

    begun = DeferredDelete(work)
    with pytest.raises(OSError, match="no luck"):
        begun.finish()
    begun.finish()


def test_the_work_is_not_the_callers_threads() -> None:
    seen: list[int] = []
    DeferredDelete(lambda: seen.append(get_ident())).finish()
    assert seen != [get_ident()]


def waiting(go: Event) -> Callable[[], None]:
    def work() -> None:
        go.wait(10)

    return work


def test_nobody_waits_longer_than_needed() -> None:
    go = Event()
    begun = DeferredDelete(waiting(go), 7)
    begun.finish(lambda: True)
    assert held() == {7}
    go.set()
    drain()
    assert held() == set()


def test_settling_may_leave_the_newest() -> None:
    first, second = Event(), Event()
    DeferredDelete(waiting(first), 7)
    DeferredDelete(waiting(second), 8)
    first.set()
    drain(leave=1)
    assert held() == {8}
    drain(leave=2)
    second.set()
    drain()


def test_what_went_wrong_is_raised_though_the_need_did_not_end() -> None:
    def work() -> None:
        raise OSError(5, "no luck")

    with pytest.raises(OSError, match="no luck"):
        DeferredDelete(work).finish(lambda: False)
