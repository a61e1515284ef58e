"""Has the kernel work off what takes it long while its caller goes on: deleting a link waits 15 ms and more for grace periods.

The thread lives no longer than its one piece of work, in the namespace of whoever began it. What the work uses, a socket for
one, is nobody else's until it has been waited for. Must not know what the work is.
"""

from collections.abc import Callable


class Background:
    """One piece of work that has begun. Whoever began it calls `finish`, whatever happens in between."""

    __slots__ = ("_failure", "_thread", "_work")

    def __init__(self, work: Callable[[], None]) -> None:
        from threading import Thread  # noqa: PLC0415 - only where something takes long

        self._work = work
        self._failure: Exception | None = None
        self._thread = Thread(target=self._run)
        self._thread.start()

    def finish(self) -> None:
        """Wait until it is done; raise what it raised, once."""
        self._thread.join()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _run(self) -> None:
        try:
            self._work()
        except Exception as failure:  # noqa: BLE001 - it is raised where somebody waits for it
            self._failure = failure
