"""Lets programs that read rules, decide and then write them take turns, one at a time in a network namespace.

The lock is on the namespace itself: no file of ours lies anywhere, its reach is exactly that of the rules, and the
kernel lets go when a holder dies. Must not know what is read or written.
"""

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from kernel import namespaces
from kernel.errors import KernelError


@contextmanager
def turn() -> Iterator[None]:
    """Wait for our turn in the namespace we are in, and hold it for the block. Raises KernelError without /proc."""
    with namespaces.current() as here:
        try:
            fcntl.flock(here.fd, fcntl.LOCK_EX)
        except OSError as error:
            raise KernelError(error.errno or errno.EIO, "waiting for a turn to change rules") from error
        yield
