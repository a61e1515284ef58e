"""Deletes links in the background: the kernel waits 15 ms and more for grace periods, in which the caller can go on.

Each deletion is a thread of its own, in the namespace of the caller, which ends with it. Descriptors it uses, such as a
socket, belong to it until it is done; `held` returns them, so that they are not taken for forgotten ones.
"""

from _thread import allocate_lock, start_new_thread
from collections.abc import Callable

_unfinished: list["DeferredDelete"] = []


def drain(leave: int = 0) -> None:
    """Wait until at most `leave` deletions are unfinished, the oldest first; a process that is about to end waits for all."""
    begun = tuple(_unfinished)
    for each in begun[: max(0, len(begun) - leave)]:
        each.wait()


def held() -> set[int]:
    """Return the descriptors of unfinished work; each is closed when its work is done."""
    return {descriptor for each in tuple(_unfinished) for descriptor in each.held}


class DeferredDelete:
    """One piece of work that has begun; `held` are the descriptors it uses, and closes."""

    __slots__ = ("_failure", "_running", "_work", "held")

    def __init__(self, work: Callable[[], None], *held: int) -> None:
        self._work = work
        self.held = held
        self._failure: Exception | None = None
        self._running = allocate_lock()
        self._running.acquire()
        _unfinished.append(self)
        self._start()

    def _start(self) -> None:
        """Return when the thread runs; where no thread can be started, when the work is done."""
        begun = allocate_lock()
        begun.acquire()
        try:
            start_new_thread(self._run, (begun.release,))
        except RuntimeError:
            self._run(begun.release)
        begun.acquire()

    def finish(self, early: Callable[[], bool] | None = None) -> None:
        """Wait until it is done, or `early` says that nobody needs to wait any more; raise what it raised, once."""
        while early is not None and self._running.locked():
            if early():
                return
        self.wait()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def wait(self) -> None:
        """Wait until it is done, however it ends."""
        with self._running:
            pass

    def _run(self, begun: Callable[[], None]) -> None:
        begun()
        try:
            self._work()
        except Exception as failure:  # noqa: BLE001 - it is raised where somebody waits for it
            self._failure = failure
        finally:
            _unfinished.remove(self)
            self._running.release()
