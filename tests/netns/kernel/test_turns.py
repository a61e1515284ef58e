"""Claims about kernel.turns.

- two holders in one namespace come one after the other; in two namespaces they do not wait for each other
- a holder that dies leaves the turn to the next
"""

import os
import select
import signal

from kernel import namespaces, turns
from tests.netns.spaces import Space


def _hold(space: Space) -> tuple[int, int]:
    """Start a process that takes the turn in `space` and keeps it; return its id, and what it speaks to when it has it."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        with namespaces.inside(space.namespace), turns.turn():
            os.write(tell, b"x")
            signal.pause()
    os.close(tell)
    return child, told


def _has_it(told: int, seconds: float) -> bool:
    return bool(select.select([told], [], [], seconds)[0])


def _end(child: int, told: int) -> None:
    os.close(told)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_turns_are_taken_one_after_the_other_in_one_namespace_only(host: Space, container: Space) -> None:
    first = _hold(host)
    assert _has_it(first[1], 10)
    second, elsewhere = _hold(host), _hold(container)
    assert _has_it(elsewhere[1], 10)
    assert not _has_it(second[1], 0.1)
    _end(*first)  # a holder that dies lets go
    assert _has_it(second[1], 10)
    _end(*second)
    _end(*elsewhere)
