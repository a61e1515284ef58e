"""A lock for programs that read rules, decide and then write them: one at a time per network namespace.

The lock is a byte of a file that only root can open, and the byte's offset is the namespace's inode number, so it
covers exactly the rules of one namespace. The namespace itself cannot be locked safely: anybody can open
/proc/self/ns/net, and lock it. A program that may not write below /run goes on without the lock.
"""

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from kernel import netns
from kernel.errors import KernelError
from system.locks import FOLDER, PATIENCE, Lock

FILE = "rules"


@contextmanager
def rules_lock(*, patience: float = PATIENCE, folder: str = FOLDER) -> Iterator[None]:
    """Wait for our turn in the namespace we are in, and hold it for the block.

    Raises KernelError without /proc, and when another program does not end its turn within `patience` seconds.
    """
    with ExitStack() as held:
        with netns.current() as here:
            lock = Lock(FILE, here.identity[1], patience=patience, folder=folder)
        try:
            held.enter_context(lock)
        except TimeoutError as busy:
            raise KernelError(errno.ETIMEDOUT, "waiting for a turn to change rules", busy.strerror or "") from busy
        except OSError:
            pass
        yield
