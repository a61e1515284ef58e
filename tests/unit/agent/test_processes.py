"""Claims about looking at processes:

- a process has a share of the memory; one that has ended has none
- who has a living child waits; an ended child is none
"""

import os
import signal

from agent import processes


def test_a_process_has_a_share_of_the_memory() -> None:
    assert processes.memory(os.getpid()) > 1000
    assert processes.memory(2**22 + 1) == 0


def test_who_has_a_living_child_waits() -> None:
    me = os.getpid()
    child = os.fork()
    if child == 0:
        signal.pause()
    assert processes.children([me, 1 << 22]) == {me}

    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert processes.children([me]) == set()
    os.waitpid(child, 0)
