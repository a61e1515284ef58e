"""Claims about kernel.firewall.lock.

- two holders in one namespace come one after the other; in two namespaces they do not wait for each other
- a holder that dies leaves the turn to the next
- who holds a lock of his own on the namespace, as anybody can, holds nobody up
- who waits in vain learns which process has the turn
"""

import fcntl
import os
import select
import signal

import pytest

from kernel import netns
from kernel.errors import KernelError
from kernel.firewall import lock
from tests.netns.spaces import Space


def _hold(space: Space) -> tuple[int, int]:
    """Start a process that takes the turn in `space` and keeps it; return its id, and what it speaks to when it has it."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        with netns.inside(space.namespace), lock.rules_lock():
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


def test_a_lock_on_the_namespace_itself_holds_nobody_up(host: Space) -> None:
    fcntl.flock(host.namespace.fd, fcntl.LOCK_EX)
    with netns.inside(host.namespace), lock.rules_lock(patience=0):
        pass


def test_who_waits_in_vain_learns_who_has_it(host: Space) -> None:
    holder = _hold(host)
    assert _has_it(holder[1], 10)
    with (
        netns.inside(host.namespace),
        pytest.raises(KernelError, match=f"waiting for a turn to change rules: .*held by process {holder[0]} "),
        lock.rules_lock(patience=0.01),
    ):
        pass
    _end(*holder)
