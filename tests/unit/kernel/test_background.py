"""Claims about kernel.background: the caller goes on meanwhile, and hears once of what went wrong."""

from threading import Event, current_thread

import pytest

from kernel.background import Background


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
