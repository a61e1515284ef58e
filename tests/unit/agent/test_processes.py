"""Claims about looking at processes:

- a process has a share of the memory; one that has ended has none
- who has a living child waits; an ended child is none
"""

import os
import subprocess
import sys

from agent import processes


def test_a_process_has_a_share_of_the_memory() -> None:
    assert processes.memory(os.getpid()) > 1000
    assert processes.memory(2**22 + 1) == 0


PARENT = """
import os, sys
child = os.fork()
if child == 0:
    os.read(0, 1)
    os._exit(0)
print(flush=True)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
print(flush=True)
sys.stdin.read()
"""
"""Has one child, which ends at the first byte and is then left a zombie; says a line when it has it, and one when that has ended."""


def test_who_has_a_living_child_waits() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as parent:
        assert parent.stdin
        assert parent.stdout
        parent.stdout.readline()
        assert processes.children([parent.pid, 1 << 22]) == {parent.pid}

        parent.stdin.write(b"e")
        parent.stdout.readline()
        assert processes.children([parent.pid]) == set()
