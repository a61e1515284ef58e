"""Has the kernel work off what takes it long while its caller goes on: deleting a link waits 15 ms and more for grace periods.

The thread lives no longer than its one piece of work, in the namespace of whoever began it. What the work uses, a socket for
one, is nobody else's until the work is done. Must not know what the work is.
"""

import sys
from collections.abc import Callable

NAME = "background"
"""What the threads are called."""


def settle() -> None:
    """Wait for everything that was begun here and not waited for: a process that lives on does, before it does anything else."""
    if threading := sys.modules.get("threading"):
        for thread in threading.enumerate():
            if thread.name == NAME:
                thread.join()


class Background:
    """One piece of work that has begun."""

    __slots__ = ("_failure", "_thread", "_work")

    def __init__(self, work: Callable[[], None]) -> None:
        from threading import Thread  # noqa: PLC0415 - only where something takes long

        self._work = work
        self._failure: Exception | None = None
        self._thread = Thread(target=self._run, name=NAME)
        self._thread.start()

    def finish(self, early: Callable[[], bool] | None = None) -> None:
        """Wait until it is done, or `early` says that nobody needs to wait any more; raise what it raised, once."""
        while early is not None and self._thread.is_alive():
            if early():
                return
        self._thread.join()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _run(self) -> None:
        try:
            self._work()
        except Exception as failure:  # noqa: BLE001 - it is raised where somebody waits for it
            self._failure = failure
