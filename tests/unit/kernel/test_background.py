"""Claims about kernel.background: the caller goes on meanwhile, waits no longer than it needs to, and hears once of what went wrong."""

from threading import Event, active_count, current_thread

import pytest

from kernel.background import Background, settle


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
    seen: list[str] = []
    Background(lambda: seen.append(current_thread().name)).finish()
    assert seen != [current_thread().name]


def test_nobody_waits_longer_than_needed() -> None:
    go = Event()

    def work() -> None:
        go.wait(10)

    begun = Background(work)
    begun.finish(lambda: True)
    assert active_count() > 1
    go.set()
    settle()
    assert active_count() == 1


def test_what_went_wrong_is_raised_though_the_need_did_not_end() -> None:
    def work() -> None:
        raise OSError(5, "no luck")

    with pytest.raises(OSError, match="no luck"):
        Background(work).finish(lambda: False)
