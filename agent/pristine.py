"""The state of a worker without a request, and the check after each request that it is the same again.

A request must leave nothing for the next one. Only three things are restored, which the worker itself changes: working
directory, umask and network namespace (kernel.netns returns that one, or ends the process).
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from agent.admission import Identity
from kernel import deferred

UMASK = 0o022
DESCRIPTORS = "/proc/self/fd"
NAMESPACE = "/proc/thread-self/ns/net"


class PristineState:
    """The state to come back to, taken when it is made; `namespace` is the network namespace it is in."""

    def __init__(self) -> None:
        os.chdir("/")
        os.umask(UMASK)
        os.environ.clear()  # noqa: TID251 - a worker has no environment: nothing of it may reach a child
        self._modules = len(sys.modules)
        self.namespace = _namespace()
        self._known: frozenset[int] = frozenset()
        self._known = frozenset(self._descriptors())
        self._checks: dict[str, Callable[[], object]] = {
            "network namespace": _namespace,
            "working directory": _directory,
            "environment": lambda: dict(os.environ),  # noqa: TID251 - that it is still empty
            "open descriptors": self._descriptors,
            "umask": _umask,
            "blocked signals": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()),
            "threads": threading.active_count,
            "child processes": _children,
        }
        self._states = {name: look() for name, look in self._checks.items()}

    def differences(self) -> Iterator[str]:
        """Yield what is not as it was, in words."""
        for name, look in self._checks.items():
            now, before = look(), self._states[name]
            if now != before:
                yield f"{name}: {now} instead of {before}"

    def _descriptors(self) -> list[int]:
        """Return what is open, but for what work in the background will close (kernel.deferred), and for what listed it."""
        held = deferred.held()
        listed = map(int, os.listdir(DESCRIPTORS))  # noqa: PTH208 - at every request
        return sorted(each for each in listed if each in self._known or (each not in held and _is_open(each)))

    def late_modules(self) -> list[str]:
        """Return the modules loaded since the last call: all of them should have been there before the first request."""
        found = list(sys.modules)[self._modules :]
        self._modules += len(found)
        return found


def _identity(path: str) -> Identity:
    status = os.stat(path)  # noqa: PTH116 - at every request
    return status.st_dev, status.st_ino


def _namespace() -> Identity:
    return _identity(NAMESPACE)


def _directory() -> Identity:
    return _identity(".")


def _is_open(descriptor: int) -> bool:
    try:
        os.get_inheritable(descriptor)
    except OSError:
        return False
    return True


def _umask() -> int:
    found = os.umask(UMASK)
    os.umask(found)
    return found


def _children() -> int:
    """Return how many children there are, ended ones reaped: 0 is the only number with a name of its own."""
    try:
        reaped, _ = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return 0
    return reaped or 1
